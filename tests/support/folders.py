"""Folders of small images and other files, made from short descriptions."""

from itertools import count
from pathlib import Path

from PIL import Image

from tests.support.images import save_image

_SUFFIXES = set(Image.registered_extensions())


def lay_out(root: Path, *entries: str) -> Path:
    """Make files below ``root``, and return it. All images differ.

    "cat" is three images in that folder, "cat/" an empty folder, "cat/x.png" one image, and
    "cat/x.txt" a file that is no image.
    """
    colours = count()
    root.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        path = root / entry
        if entry.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif not path.suffix:
            for k in range(3):
                _draw(path / f"{k}.png", next(colours))
        elif path.suffix.lower() in _SUFFIXES:
            _draw(path, next(colours))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("no image")
    return root


def _draw(path: Path, number: int) -> None:
    """Save an image that has its own colour, and its own size from the 256th image on."""
    save_image(path, number % 256)
