"""Choice of the form in which a dataset's pixels are kept, and the files of the cache."""

import errno
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock, Timeout

from trainables.data.dataset import Dataset
from trainables.data.disk_cache import FEATURE_FILES, PIXEL_FILES, make_room, preallocate
from trainables.data.jpeg_file import JPEG_FORM, encode_jpeg, file_bytes, write_jpegs
from trainables.data.pixel_store import (
    CompressedImages,
    DecodedImages,
    OriginalImages,
    PixelStore,
    read_original,
    store_key,
)
from trainables.data.staged_pixels import StagedPixels
from trainables.files import write_atomically
from trainables.images import PixelFormat, stamp_of
from trainables.process_limits import available_cpus
from trainables.progress import Progress, ignore_progress

_log = logging.getLogger("finesweep")

_SAMPLED_IMAGES = 256
"""Number of images, evenly spaced in the dataset, by which the size of all is estimated."""
_SIZE_MARGIN = 1.1
"""Factor on the estimated size of the compressed images."""
_IMAGES_AT_ONCE = 1024
"""Number of images whose JPEGs may be in memory at a time."""
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""Errors of a file that finds no space, or that exceeds its limit."""


@dataclass(frozen=True)
class ExpectedStore:
    """Form in which a plan expects the images of a format to be kept."""

    image_size: int
    form: Literal["decoded", "compressed", "originals"]
    size_bytes: int
    """Bytes in the cache; 0 for originals."""


def expected_stores(
    dataset: Dataset, formats: Sequence[PixelFormat], *, budget_bytes: int
) -> tuple[ExpectedStore, ...]:
    """The stores that `build_store` makes one after another in an empty cache on a large disk.

    Compresses some images, unless all have room decoded. Raises `DataError` if they have changed.
    """
    expected = []
    for pixel_format in formats:
        store = ExpectedStore(pixel_format.side, "originals", 0)
        decoded_bytes = len(dataset) * pixel_format.bytes_per_image
        if decoded_bytes <= budget_bytes:
            store = ExpectedStore(pixel_format.side, "decoded", decoded_bytes)
        else:
            size_bytes = _size_if_compressed(dataset, pixel_format, None)
            if size_bytes is not None and size_bytes <= budget_bytes:
                store = ExpectedStore(pixel_format.side, "compressed", size_bytes)
        budget_bytes -= store.size_bytes
        expected.append(store)
    return tuple(expected)


def build_store(
    dataset: Dataset,
    pixel_format: PixelFormat,
    *,
    cache: Path,
    budget_bytes: int = 2**63,
    keep: Collection[Path] = (),
    staged: StagedPixels | None = None,
    exact: bool = False,
    progress: Progress = ignore_progress,
) -> PixelStore:
    """Decode ``dataset`` into a file below ``cache``, or reuse the file of an earlier sweep.

    If there is no room for the file, the images are compressed into a smaller one, unless the
    pixels must be ``exact``. If that has no room either, or saves nothing, they are decoded
    whenever they are read. The log says which form was chosen, and what would change it. A file's
    name is a hash of its form and of the images' bytes in the dataset's order, so labels and splits
    do not matter. A file with that name is always complete. Of several processes that need the
    same store, one builds it while the others wait. To stay within ``budget_bytes``, the cache's
    least recently used files are deleted, except those in ``keep``.

    Raises `DataError` if an image has changed since the survey.
    """
    building = _Building(dataset, pixel_format, staged, progress)
    folder = cache / "pixels"
    folder.mkdir(parents=True, exist_ok=True)
    decoded = DecodedImages(folder / f"{store_key(dataset, pixel_format)}.npy")
    name = f"{store_key(dataset, pixel_format, JPEG_FORM)}.jpegs"
    compressed = CompressedImages(folder / name, pixel_format.side)

    def has_room(size_bytes: int) -> bool:
        evictable = (*PIXEL_FILES, *FEATURE_FILES)
        return make_room(cache, size_bytes, budget_bytes, *evictable, keep=keep)

    waiting = partial(progress, "decoding images", 0, len(dataset))
    with _locked(decoded.file.with_suffix(".lock"), waiting):
        for file in (decoded.file, compressed.file):
            for leftover in folder.glob(f"{file.name}.*.partial"):
                leftover.unlink()  # left by a dead process
        if decoded.file.exists() or has_room(building.decoded_bytes):
            if not decoded.file.exists():
                write_atomically(decoded.file, building.write_decoded)
            os.utime(decoded.file)  # marks it as recently used
            _log.info("%s: decoded, %s", building.name, _size(building.decoded_bytes))
            return decoded
        if not exact and (compressed.file.exists() or building.compress(compressed.file, has_room)):
            os.utime(compressed.file)
            _log.info(
                "%s: compressed as JPEGs, %s in %s, because the decoded ones take %s and have no "
                "room. To read them faster, raise cache_gib or choose another cache_dir.",
                building.name,
                _size(compressed.file.stat().st_size),
                cache,
                _size(building.decoded_bytes),
            )
            return compressed
    _log.warning(
        "%s take %s in %s, and there is no room: they are decoded anew in every epoch. To decode "
        "them once, raise cache_gib, choose another cache_dir, or lower image_size.",
        building.name,
        _size(building.decoded_bytes),
        cache,
    )
    return OriginalImages(dataset, pixel_format)


@dataclass(frozen=True)
class _Building:
    """Writes the files of a dataset in a format. Staged images are not decoded again."""

    dataset: Dataset
    pixel_format: PixelFormat
    staged: StagedPixels | None
    progress: Progress

    @property
    def name(self) -> str:
        """Description of the images in log messages."""
        side = self.pixel_format.side
        return f"{len(self.dataset)} images of {side}x{side} pixels"

    @property
    def decoded_bytes(self) -> int:
        """Bytes of all images if they are decoded."""
        return len(self.dataset) * self.pixel_format.bytes_per_image

    def write_decoded(self, file: Path) -> None:
        """Write all images to ``file`` as one array."""
        side, count = self.pixel_format.side, len(self.dataset)
        shape = (count, side, side, 3)
        pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
        with file.open("r+b") as opened:
            preallocate(opened.fileno(), file.stat().st_size)

        def decode(row: int) -> None:
            digest = self.dataset.digests[row]
            image = self.staged.get(self.pixel_format, digest) if self.staged else None
            if image is None:
                image = read_original(self.dataset, self.pixel_format, row)
            pixels[row] = image

        with ThreadPoolExecutor(available_cpus()) as pool:
            for done, _ in enumerate(pool.map(decode, range(count)), start=1):
                self.progress("decoding images", done, count)
        pixels.flush()

    def compress(self, file: Path, has_room: Callable[[int], bool]) -> bool:
        """Write all images to ``file`` as JPEGs. False if that saves nothing or has no room."""
        size_bytes = _size_if_compressed(self.dataset, self.pixel_format, self.staged)
        if size_bytes is None or not has_room(size_bytes):
            return False
        try:
            write_atomically(
                file, lambda partial: write_jpegs(partial, self._jpegs(), limit_bytes=size_bytes)
            )
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            return False
        return True

    def _jpegs(self) -> Iterator[bytes]:
        """JPEGs of all images, in order."""
        count = len(self.dataset)
        jpeg_of = partial(_jpeg_of, self.dataset, self.pixel_format, self.staged)
        with ThreadPoolExecutor(available_cpus()) as pool:
            for first in range(0, count, _IMAGES_AT_ONCE):
                rows = range(first, min(first + _IMAGES_AT_ONCE, count))
                for row, jpeg in zip(rows, pool.map(jpeg_of, rows), strict=True):
                    yield jpeg
                    self.progress("compressing images", row + 1, count)


def _size_if_compressed(
    dataset: Dataset, pixel_format: PixelFormat, staged: StagedPixels | None
) -> int | None:
    """Estimated bytes of all images as JPEGs, with a margin; None if the originals have fewer.

    Smaller originals stay, by their bytes alone: JPEGs would take more of the cache for a small
    gain, 2.3 times the speed where they had 1.7 times the bytes, against 3 to 37 times where they
    were smaller (results/benchmarks/compressed_images.md).
    """
    rows = range(0, len(dataset), -(-len(dataset) // _SAMPLED_IMAGES))
    with ThreadPoolExecutor(available_cpus()) as pool:
        jpegs = pool.map(partial(_jpeg_of, dataset, pixel_format, staged), rows)
        jpeg_bytes = sum(map(len, jpegs))
    original_bytes = sum(stamp[0] for row in rows if (stamp := stamp_of(dataset.file(row))))
    if jpeg_bytes >= original_bytes:
        return None
    expected_bytes = _SIZE_MARGIN * jpeg_bytes / len(rows) * len(dataset)
    return file_bytes(round(expected_bytes), len(dataset))


def _jpeg_of(
    dataset: Dataset, pixel_format: PixelFormat, staged: StagedPixels | None, row: int
) -> bytes:
    """JPEG of image ``row``, staged or made from the original file."""
    jpeg = staged.get_jpeg(pixel_format, dataset.digests[row]) if staged else None
    return jpeg or encode_jpeg(read_original(dataset, pixel_format, row))


def _size(size_bytes: int) -> str:
    """A size as text."""
    if size_bytes < 2**30:
        return f"{size_bytes / 2**20:.1f} MiB"
    return f"{size_bytes / 2**30:.1f} GiB"


@contextmanager
def _locked(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock. Calls ``on_wait`` every second until the lock is free."""
    file_lock = FileLock(lock)
    while True:
        try:
            file_lock.acquire(timeout=1)
            break
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        file_lock.release()
