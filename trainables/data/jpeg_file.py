"""File of JPEGs: many compressed images one after another, and after them the place of each."""

import errno
import io
import os
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

JPEG_FORM = "jpeg 95 4:4:4"
"""How images are compressed; part of the key that names a store's file."""
_OFFSET = np.dtype("<i8")


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """JPEG of ``(h, w, 3)`` uint8 pixels, in quality 95 and without subsampled colours."""
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=95, subsampling=0)
    return jpeg.getvalue()


def decode_jpeg(jpeg: bytes) -> np.ndarray:
    """Pixels of what `encode_jpeg` made, ``(h, w, 3)`` uint8."""
    return np.asarray(Image.open(io.BytesIO(jpeg)))


def file_bytes(jpeg_bytes: int, count: int) -> int:
    """Size of a file of ``count`` images, which take ``jpeg_bytes`` together."""
    return jpeg_bytes + (count + 1) * _OFFSET.itemsize


def write_jpegs(file: Path, jpegs: Iterable[bytes], *, limit_bytes: int) -> None:
    """Write images to ``file``, which should not have its final name yet.

    Raises `OSError` (EFBIG) as soon as the images take more than ``limit_bytes``, or that of a full
    disk.
    """
    ends = array("q", [0])
    with file.open("wb") as stream:
        for jpeg in jpegs:
            ends.append(ends[-1] + len(jpeg))
            if file_bytes(ends[-1], len(ends) - 1) > limit_bytes:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(file))
            stream.write(jpeg)
        stream.write(np.array(ends, _OFFSET).tobytes())


@dataclass(frozen=True)
class JpegFile:
    """A memory-mapped file that `write_jpegs` wrote."""

    content: np.ndarray
    """Bytes of the file, ``(size,)`` uint8."""
    offsets: np.ndarray
    """Place of each image in `content`, and the end of the last one, ``(n + 1,)`` int64."""

    @classmethod
    def open(cls, file: Path) -> Self:
        """Map a file. Its last offset, which ends it, is where the offsets begin."""
        content = np.memmap(file, np.uint8, "r")
        table = int(content[-_OFFSET.itemsize :].view(_OFFSET)[0])
        return cls(content, content[table:].view(_OFFSET))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes:
        return self.content[self.offsets[row] : self.offsets[row + 1]].tobytes()
