"""`Case`: a data source as a person left it, and the truth about its images."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

EACH = 12
"""Images per class, by default; enough for all three splits."""


@dataclass(frozen=True)
class Use:
    """The right use of one image file."""

    label: str
    split: Literal["train", "val", "test"] | None = None
    """Split that the source gives. A split that it does not give at all may be drawn from train."""
    group: str = ""
    """Images with the same group must be in one split."""
    needed: bool = True
    """False if the image may also be left out, when that is said."""


Truth = dict[Path, Use]
"""Use of each image, by its absolute path. All other files must be left out, and named."""


@dataclass(frozen=True)
class Case:
    """A data source, the words of a command that reads it, and the right answer."""

    name: str
    prepare: Callable[[Path], Truth]
    """Write the source's files into an empty folder. Returns the truth."""
    words: str = "d"
    """Data and flags, as words of the command line."""
    answer: Literal["read", "ask", "either"] = "read"
    """Whether the source must be read, must lead to a sentence, or either."""
    says: str = ""
    """Regular expression that the sentence, or the notes on what was read, must match."""
    was_silently_wrong: bool = False
    """The code of before (commit 3b499bd) read these files without a word, and wrongly."""
    needs: str = ""
    """Package without which the case can't be tried."""
    without: str = ""
    """Package that is to be missing."""


def picture(file: Path, seed: int | None = None, format: str | None = None, side: int = 32) -> Path:
    """Write an image of random noise, ``side`` pixels wide and high. Returns its path.

    By default ``seed`` follows from the path below the case's folder, and ``format`` is PNG for a
    suffix that names no format.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    known = file.suffix.lower() in Image.registered_extensions()
    if seed is None:
        below = file.parts[file.parts.index("d") :] if "d" in file.parts else file.parts[-4:]
        seed = zlib.crc32(repr(below).encode())
    Image.fromarray(noise(seed)).save(file, format or (None if known else "png"))
    return file


def noise(seed: int) -> np.ndarray:
    """Random image of 8 x 8 squares, ``(32, 32, 3)`` uint8. It survives lossy formats."""
    squares = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return squares.repeat(4, axis=0).repeat(4, axis=1)


def images(
    folder: Path,
    label: str,
    split: Literal["train", "val", "test"] | None = None,
    *,
    each: int = EACH,
    name: str = "{}.png",
) -> Truth:
    """Write ``each`` images of one class into ``folder``."""
    return {picture(folder / name.format(i)): Use(label, split) for i in range(each)}


def classes(
    folder: Path,
    labels: Sequence[str] = ("cat", "dog"),
    split: Literal["train", "val", "test"] | None = None,
    *,
    each: int = EACH,
    name: str = "{}.png",
    inner: str = "",
) -> Truth:
    """Write a folder of images for each class; ``inner`` is a folder within the class's folder."""
    truth: Truth = {}
    for label in labels:
        truth |= images(folder / label / inner, label, split, each=each, name=name)
    return truth


def unused(folder: Path, name: str = "{}.png", each: int = EACH) -> Truth:
    """Write images that must be left out. Returns an empty truth."""
    images(folder, "", each=each, name=name)
    return {}


def text(file: Path, content: str | bytes = "x\n") -> Truth:
    """Write a file that is no image. Returns an empty truth."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return {}
