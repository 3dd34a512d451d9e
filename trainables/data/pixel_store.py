"""`PixelStore`: every image of a dataset decoded once into one memory-mapped array."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL
import torch
from filelock import FileLock, Timeout
from PIL import Image

from spaces import DataError
from trainables.data.dataset import Dataset
from trainables.data.decoding import IMAGE_ERRORS, digest_of, read_rgb, resize_square
from trainables.data.disk_cache import FEATURES, PIXELS, free_bytes, make_room, reserve
from trainables.data.listing import SplitName
from trainables.files import write_whole
from trainables.progress import Progress, no_progress

_FORMAT = f"2, pillow {PIL.__version__}"
"""What becomes of the same file's bytes."""


@dataclass(frozen=True)
class PixelFormat:
    """What a backbone wants its images to be: a square of ``side`` pixels, resized in one way."""

    side: int
    interpolation: str


@dataclass(frozen=True)
class PixelStore:
    """All images of a dataset in one format, row for row: ``(n, side, side, 3)`` uint8 on disk.

    Only the file's name travels between processes; the page cache shares what is in it.
    """

    file: Path

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Images ``rows`` as ``(m, 3, side, side)`` uint8, channels last in memory."""
        return torch.from_numpy(_mapped(self.file)[rows]).permute(0, 3, 1, 2)


class Staged:
    """Images kept in every format as they are first opened, before it is known which belong.

    `build_store` takes from it what it finds there, so that a first sweep decodes nothing twice.
    Lies in files without a name: they go with the process.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._rows: dict[str, int] = {}
        self._arrays: dict[PixelFormat, np.ndarray] = {}

    def begin(self, forms: Sequence[PixelFormat], count: int) -> None:
        """Make place for ``count`` images; where the disk has none, keep nothing."""
        size = count * sum(form.side**2 * 3 for form in forms)
        if count == 0 or free_bytes(self._cache) < 2 * size:  # the stores come on top
            return
        try:
            for form in forms:
                with tempfile.TemporaryFile(dir=self._cache) as file:
                    reserve(file.fileno(), count * form.side**2 * 3)
                    shape = (count, form.side, form.side, 3)
                    self._arrays[form] = np.memmap(file, np.uint8, "r+", shape=shape)
        except OSError:
            self._arrays.clear()

    @property
    def forms(self) -> tuple[PixelFormat, ...]:
        """What is kept."""
        return tuple(self._arrays)

    def keep(self, row: int, digest: str, form: PixelFormat, image: Image.Image) -> None:
        """Take in an image. Several threads may, each with rows of its own."""
        self._arrays[form][row] = resize_square(image, form.side, form.interpolation)
        self._rows[digest] = row

    def find(self, form: PixelFormat, digest: str) -> np.ndarray | None:
        """``(side, side, 3)`` uint8, if it is here."""
        row = self._rows.get(digest)
        return None if row is None or form not in self._arrays else self._arrays[form][row]


def build_store(
    dataset: Dataset,
    form: PixelFormat,
    *,
    cache: Path,
    budget_bytes: int = 2**63,
    keep: Collection[Path] = (),
    staged: Staged | None = None,
    progress: Progress = no_progress,
) -> PixelStore:
    """Decode ``dataset`` into a file below ``cache``, or find it there from an earlier sweep.

    A file of the store's name is whole, and holds these very bytes decoded in this order, however
    they are labelled and split. Of several processes that want it, one makes it. To make room,
    files that were not used lately are deleted, but for ``keep``. Raises `DataError` if an image
    has changed since the survey, or if there is no room.
    """
    key = hashlib.blake2b(digest_size=12)
    key.update("\n".join([f"{_FORMAT} {form!r}", *dataset.digests]).encode())
    store = PixelStore(cache / "pixels" / f"{key.hexdigest()}.npy")
    store.file.parent.mkdir(parents=True, exist_ok=True)
    lock, count = store.file.with_suffix(".lock"), len(dataset)
    with _held(lock, lambda: progress("decoding images", 0, count)):
        if not store.file.exists():
            for leftover in store.file.parent.glob(f"{store.file.name}.*.partial"):
                leftover.unlink()  # of a process that died: we hold the lock
            size = len(dataset) * form.side**2 * 3
            if not make_room(cache, size, budget_bytes, PIXELS, FEATURES, keep=keep):
                raise DataError(
                    f"{len(dataset)} images of {form.side} pixels take {size / 2**30:.1f} GiB in "
                    f"{cache}, and there is no room; raise cache_gib, name another cache_dir, or "
                    "lower image_size."
                )
            write_whole(
                store.file, lambda partial: _decode_all(dataset, form, partial, staged, progress)
            )
        os.utime(store.file)
    return store


@contextmanager
def _held(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; ``waiting`` is called every second until it can be had, and may raise."""
    held = FileLock(lock)
    while True:
        try:
            held.acquire(timeout=1)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        held.release()


def _decode_all(
    dataset: Dataset,
    form: PixelFormat,
    file: Path,
    staged: Staged | None,
    progress: Progress,
) -> None:
    shape = (len(dataset), form.side, form.side, 3)
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
    with file.open("r+b") as made:
        reserve(made.fileno(), file.stat().st_size)

    def decode(row: int) -> None:
        ready = staged.find(form, dataset.digests[row]) if staged else None
        if ready is None:
            image = read_unchanged(dataset, row, side=form.side)
            ready = resize_square(image, form.side, form.interpolation)
        pixels[row] = ready

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(dataset))), start=1):
            progress("decoding images", done, len(dataset))
    pixels.flush()


def read_unchanged(dataset: Dataset, row: int, *, side: int) -> Image.Image:
    """Image ``row`` as by `read_rgb`. Raises `DataError` if its file is not what was surveyed."""
    try:
        content = dataset.file(row).read_bytes()
    except OSError as error:
        raise DataError(f"{dataset.file(row)} is gone ({error.strerror}); bring it back.") from None
    if digest_of(content) != dataset.digests[row]:
        raise DataError(
            f"{dataset.file(row)} has changed since the data were read; launch a new sweep, "
            "or bring the file back."
        )
    try:
        return read_rgb(content, side=side)
    except IMAGE_ERRORS as error:
        raise DataError(f"{dataset.file(row)} can't be read ({error}); remove it.") from None


@lru_cache(maxsize=8)
def _mapped(file: Path) -> np.ndarray:
    """One mapping per file and process, made when first read."""
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped


@dataclass(frozen=True)
class ImageSet:
    """Labelled images: some rows of a store."""

    store: PixelStore
    rows: np.ndarray
    """``(n,)`` int64, rows of the store."""
    labels: np.ndarray
    """``(n,)`` int64, class numbers."""
    whole: np.ndarray | None = None
    """Rows of the set that this is a part of, with whose features its own are kept."""

    @classmethod
    def of(cls, dataset: Dataset, store: PixelStore, *splits: SplitName) -> "ImageSet":
        """The images of some splits."""
        rows = dataset.rows(*splits)
        return cls(store, rows, dataset.labels[rows])

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, count: int | None) -> "ImageSet":
        """So many of them, over and over if there are fewer; all for None."""
        if count is None:
            return self
        chosen = np.arange(count) % len(self)
        return ImageSet(self.store, self.rows[chosen], self.labels[chosen])

    def part(self, chosen: np.ndarray) -> "ImageSet":
        """Those at positions ``chosen``, or where it is True."""
        whole = self.rows if self.whole is None else self.whole
        return ImageSet(self.store, self.rows[chosen], self.labels[chosen], whole)

    def images(self, chosen: np.ndarray) -> torch.Tensor:
        """``(m, 3, side, side)`` uint8 of positions ``chosen`` within this set."""
        return self.store.read(self.rows[chosen])
