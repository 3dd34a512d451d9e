"""Images that lie inside a table: extracted to files below the cache, without re-encoding them."""

import io
from pathlib import Path

from PIL import Image


def extract_image(content: bytes, folder: Path, number: int) -> Path:
    """Write an encoded image to its numbered file in ``folder``, unless it is there.

    Returns the file's path. Its extension follows from ``content``.
    """
    path = folder / f"{number:07d}.{_extension(content)}"
    if not path.exists() or path.stat().st_size != len(content):
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def _extension(content: bytes) -> str:
    """File name extension for an encoded image; "unreadable" if its format is unknown."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return str(image.format).lower()
    except OSError:
        return "unreadable"
