"""`StagedPixels`: the images that a scan decodes, kept until the dataset's rows are known."""

import os
import tempfile
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image

from trainables.data.disk_cache import free_bytes, preallocate
from trainables.data.jpeg_file import encode_jpeg
from trainables.images import PixelFormat


class StagedPixels:
    """Temporary store of the images that a scan decodes, before the dataset's rows are known.

    `build_store` takes images from here, so that a first sweep decodes each image only once. Images
    whose decoded form has no room are staged as JPEGs. All of it lies in unnamed temporary files,
    which vanish with the process.
    """

    def __init__(
        self, cache: Path, formats: Sequence[PixelFormat], *, budget_bytes: int = 2**63
    ) -> None:
        self._cache, self._wanted, self._budget_bytes = cache, tuple(formats), budget_bytes
        self._rows: dict[str, int] = {}
        """Row of an image by its digest."""
        self._arrays: dict[PixelFormat, np.ndarray] = {}
        self._jpegs: _StagedJpegs | None = None

    def allocate(self, count: int) -> None:
        """Decide how ``count`` images are staged in each format, and reserve disk space for arrays.

        They are staged decoded if a store needs them so, else as JPEGs. Nothing is staged in a
        format whose store fits while its staged copy would not, or if the disk is full.
        """
        free = free_bytes(self._cache)
        room_bytes = min(free // 2, self._budget_bytes)  # stores need it again
        store_room_bytes = min(free, self._budget_bytes)
        as_jpegs = []
        for wanted in self._wanted if count else ():
            size_bytes = count * wanted.bytes_per_image
            if size_bytes > store_room_bytes:
                as_jpegs.append(wanted)
                continue
            store_room_bytes -= size_bytes
            if size_bytes <= room_bytes and self._allocate_array(wanted, count):
                room_bytes -= size_bytes
        if as_jpegs:
            with suppress(OSError):  # of a full disk
                self._jpegs = _StagedJpegs(self._cache, as_jpegs, count, room_bytes)

    def _allocate_array(self, wanted: PixelFormat, count: int) -> bool:
        """Whether the disk had space for an array of ``count`` images."""
        try:
            with tempfile.TemporaryFile(dir=self._cache) as file:
                preallocate(file.fileno(), count * wanted.bytes_per_image)
                shape = (count, wanted.side, wanted.side, 3)
                self._arrays[wanted] = np.memmap(file, np.uint8, "r+", shape=shape)
        except OSError:
            return False
        return True

    @property
    def formats(self) -> tuple[PixelFormat, ...]:
        """Formats that are staged; empty if the disk was too full."""
        return (*self._arrays, *(self._jpegs.formats if self._jpegs else ()))

    def add(self, row: int, digest: str, pixel_format: PixelFormat, image: Image.Image) -> None:
        """Resize and stage an image. Threads may call this concurrently for different rows.

        JPEGs are dropped altogether if they take more than their room, or if the disk is full.
        """
        pixels = pixel_format.resize(image)
        if pixel_format in self._arrays:
            self._arrays[pixel_format][row] = pixels
        elif (jpegs := self._jpegs) and not jpegs.add(pixel_format, row, encode_jpeg(pixels)):
            self._jpegs = None
        self._rows[digest] = row

    def get(self, pixel_format: PixelFormat, digest: str) -> np.ndarray | None:
        """Staged image as ``(side, side, 3)`` uint8; None if it is not staged, or as a JPEG."""
        row = self._rows.get(digest)
        if row is None or pixel_format not in self._arrays:
            return None
        image: np.ndarray = self._arrays[pixel_format][row]
        return image

    def get_jpeg(self, pixel_format: PixelFormat, digest: str) -> bytes | None:
        """Staged image as `encode_jpeg` gives it; None if it is not staged."""
        row = self._rows.get(digest)
        if row is not None and self._jpegs and pixel_format in self._jpegs.formats:
            return self._jpegs.get(pixel_format, row)
        pixels = self.get(pixel_format, digest)
        return None if pixels is None else encode_jpeg(pixels)


class _StagedJpegs:
    """JPEGs in the order in which they arrive, in one unnamed file."""

    def __init__(
        self, cache: Path, formats: Sequence[PixelFormat], count: int, room_bytes: int
    ) -> None:
        with tempfile.TemporaryFile(dir=cache) as file:
            self._file = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._file)
        self._room_bytes, self._end, self._lock = room_bytes, 0, Lock()
        self._places = {each: np.zeros((count, 2), np.int64) for each in formats}
        """Offset and size in bytes of each row's image; a size of 0 if it is absent."""

    @property
    def formats(self) -> tuple[PixelFormat, ...]:
        return tuple(self._places)

    def add(self, pixel_format: PixelFormat, row: int, jpeg: bytes) -> bool:
        """Append an image. False if there is no room for it."""
        with self._lock:
            offset = self._end
            self._end += len(jpeg)
        if offset + len(jpeg) > self._room_bytes:
            return False
        try:
            if os.pwrite(self._file, jpeg, offset) < len(jpeg):
                return False  # the disk became full within the image
        except OSError:
            return False
        self._places[pixel_format][row] = offset, len(jpeg)
        return True

    def get(self, pixel_format: PixelFormat, row: int) -> bytes | None:
        offset, size = self._places[pixel_format][row].tolist()
        return os.pread(self._file, size, offset) if size else None
