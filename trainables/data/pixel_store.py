"""`PixelStore`: the pixels of a dataset's images.

They are decoded once into one memory-mapped array or, where that has no room, at every reading.
"""

import hashlib
import logging
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from PIL import Image

from spaces import DataError
from trainables.data.dataset import Dataset
from trainables.data.disk_cache import (
    FEATURE_FILES,
    PIXEL_FILES,
    free_bytes,
    make_room,
    preallocate,
)
from trainables.files import write_atomically
from trainables.images import (
    DECODER_VERSION,
    IMAGE_ERRORS,
    PixelFormat,
    content_digest,
    describe_image_error,
    read_image_file,
    read_rgb,
)
from trainables.process_limits import available_cpus
from trainables.progress import Progress, ignore_progress

_log = logging.getLogger("finesweep")


class PixelStore(ABC):
    """All images of a dataset in one format, in the dataset's order."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Text that is equal for stores of the same pixels."""

    @abstractmethod
    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Images at ``rows``, ``(m,)``: ``(m, 3, side, side)`` uint8, channels last in memory."""


@dataclass(frozen=True)
class DecodedImages(PixelStore):
    """Images that were decoded into a file, an array ``(n, side, side, 3)`` uint8.

    Pickling it sends only the path: processes map the same file and share its pages in the
    operating system's page cache.
    """

    file: Path

    @property
    def key(self) -> str:
        """See `PixelStore.key`."""
        return self.file.stem

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """See `PixelStore.read`."""
        return torch.from_numpy(_mapped(self.file)[rows]).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class OriginalImages(PixelStore):
    """Images that are decoded from their files whenever they are read, to the same pixels."""

    dataset: Dataset
    pixel_format: PixelFormat

    @cached_property
    def key(self) -> str:
        """See `PixelStore.key`."""
        return _key_of(self.dataset, self.pixel_format)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """See `PixelStore.read`. Uses as many threads as torch does in this process.

        Raises `DataError` as `read_surveyed_image` does.
        """
        side = self.pixel_format.side
        pixels = np.empty((len(rows), side, side, 3), np.uint8)

        def decode(place: int) -> None:
            pixels[place] = _decode(self.dataset, self.pixel_format, int(rows[place]))

        in_order = np.argsort(rows)  # rows of one Parquet row group follow one another
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(decode, in_order))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)


class StagedPixels:
    """Temporary store of the images that a scan decodes, before the dataset's rows are known.

    `build_store` takes images from here, so that a first sweep decodes each image only once. The
    arrays lie in unnamed temporary files, which vanish with the process.
    """

    def __init__(
        self, cache: Path, formats: Sequence[PixelFormat], *, budget_bytes: int = 2**63
    ) -> None:
        self._cache, self._wanted, self._budget_bytes = cache, tuple(formats), budget_bytes
        self._rows: dict[str, int] = {}
        """Row of an image by its digest."""
        self._arrays: dict[PixelFormat, np.ndarray] = {}

    def allocate(self, count: int) -> None:
        """Reserve disk space for ``count`` images in every format, unless it exceeds the budget.

        Does nothing on a full disk.
        """
        size_bytes = count * sum(wanted.bytes_per_image for wanted in self._wanted)
        room_bytes = min(free_bytes(self._cache) // 2, self._budget_bytes)  # stores need it again
        if count == 0 or size_bytes > room_bytes:
            return
        try:
            for wanted in self._wanted:
                with tempfile.TemporaryFile(dir=self._cache) as file:
                    preallocate(file.fileno(), count * wanted.bytes_per_image)
                    shape = (count, wanted.side, wanted.side, 3)
                    self._arrays[wanted] = np.memmap(file, np.uint8, "r+", shape=shape)
        except OSError:
            self._arrays.clear()

    @property
    def formats(self) -> tuple[PixelFormat, ...]:
        """Formats that are staged; empty if the disk was too full."""
        return tuple(self._arrays)

    def add(self, row: int, digest: str, pixel_format: PixelFormat, image: Image.Image) -> None:
        """Resize and stage an image. Threads may call this concurrently for different rows."""
        self._arrays[pixel_format][row] = pixel_format.resize(image)
        self._rows[digest] = row

    def get(self, pixel_format: PixelFormat, digest: str) -> np.ndarray | None:
        """Staged image as ``(side, side, 3)`` uint8; None if it is not staged."""
        row = self._rows.get(digest)
        if row is None or pixel_format not in self._arrays:
            return None
        image: np.ndarray = self._arrays[pixel_format][row]
        return image


def build_store(
    dataset: Dataset,
    pixel_format: PixelFormat,
    *,
    cache: Path,
    budget_bytes: int = 2**63,
    keep: Collection[Path] = (),
    staged: StagedPixels | None = None,
    progress: Progress = ignore_progress,
) -> PixelStore:
    """Decode ``dataset`` into a file below ``cache``, or reuse the file of an earlier sweep.

    If there is no room for the file, the images are decoded whenever they are read, and a warning
    says so. The file's name is a hash of the images' bytes in the dataset's order, so labels and
    splits do not matter. A file with that name is always complete. Of several processes that need
    the same store, one builds it while the others wait. To stay within ``budget_bytes``, the
    cache's least recently used files are deleted, except those in ``keep``.

    Raises `DataError` if an image has changed since the survey.
    """
    store = DecodedImages(cache / "pixels" / f"{_key_of(dataset, pixel_format)}.npy")
    store.file.parent.mkdir(parents=True, exist_ok=True)
    lock, count = store.file.with_suffix(".lock"), len(dataset)
    with _locked(lock, lambda: progress("decoding images", 0, count)):
        if not store.file.exists():
            for leftover in store.file.parent.glob(f"{store.file.name}.*.partial"):
                leftover.unlink()  # left by a dead process
            size_bytes = count * pixel_format.bytes_per_image
            evictable = (PIXEL_FILES, FEATURE_FILES)
            if not make_room(cache, size_bytes, budget_bytes, *evictable, keep=keep):
                _log.warning(
                    "%d images of %dx%d pixels take %.1f GiB in %s, and there is no room: they are "
                    "decoded anew in every epoch. To decode them once, raise cache_gib, choose "
                    "another cache_dir, or lower image_size.",
                    count,
                    pixel_format.side,
                    pixel_format.side,
                    size_bytes / 2**30,
                    cache,
                )
                return OriginalImages(dataset, pixel_format)
            write_atomically(
                store.file,
                lambda partial: _decode_all(dataset, pixel_format, partial, staged, progress),
            )
        os.utime(store.file)  # marks it as recently used
    return store


def decoded_files(stores: Iterable[PixelStore]) -> list[Path]:
    """Files of the stores that were decoded."""
    return [store.file for store in stores if isinstance(store, DecodedImages)]


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


def _decode_all(
    dataset: Dataset,
    pixel_format: PixelFormat,
    file: Path,
    staged: StagedPixels | None,
    progress: Progress,
) -> None:
    """Write all images to ``file`` as one array. Staged images are not decoded again."""
    side = pixel_format.side
    shape = (len(dataset), side, side, 3)
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    with file.open("r+b") as opened:
        preallocate(opened.fileno(), file.stat().st_size)

    def decode(row: int) -> None:
        image = staged.get(pixel_format, dataset.digests[row]) if staged else None
        if image is None:
            image = _decode(dataset, pixel_format, row)
        pixels[row] = image

    with ThreadPoolExecutor(available_cpus()) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(dataset))), start=1):
            progress("decoding images", done, len(dataset))
    pixels.flush()


def _key_of(dataset: Dataset, pixel_format: PixelFormat) -> str:
    """Key of the store of a dataset in a format."""
    key = hashlib.blake2b(digest_size=12)
    key.update("\n".join([f"{DECODER_VERSION} {pixel_format.key}", *dataset.digests]).encode())
    return key.hexdigest()


def _decode(dataset: Dataset, pixel_format: PixelFormat, row: int) -> np.ndarray:
    """Image ``row`` of a dataset in a format, ``(side, side, 3)`` uint8."""
    return pixel_format.resize(read_surveyed_image(dataset, row, side=pixel_format.side))


def read_surveyed_image(dataset: Dataset, row: int, *, side: int) -> Image.Image:
    """Decode image ``row`` of a dataset with `read_rgb`.

    Raises `DataError` if the file is missing or unreadable, or has changed since the survey.
    """
    try:
        content = read_image_file(dataset.file(row))
    except OSError as error:
        raise DataError(
            f"{dataset.file(row)} is missing ({error.strerror}); restore it, or say where the "
            "images are now:  finesweep retrain or resume, with --data FOLDER"
        ) from None
    if content_digest(content) != dataset.digests[row]:
        raise DataError(
            f"{dataset.file(row)} has changed since the data were read; restore the file, "
            "or launch a new sweep."
        )
    try:
        return read_rgb(content, side=side)
    except IMAGE_ERRORS as error:
        reason = describe_image_error(error)
        raise DataError(f"{dataset.file(row)} can't be read ({reason}); remove it.") from None


@lru_cache(maxsize=8)
def _mapped(file: Path) -> np.ndarray:
    """Memory map of a store's file, opened once per process."""
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped
