"""Small image files."""

from pathlib import Path

from PIL import Image


def save_image(path: Path, colour: int = 0) -> Path:
    """Save an image of 20 x 20 pixels of one grey value (0 to 255), and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 20), colour).save(path)
    return path
