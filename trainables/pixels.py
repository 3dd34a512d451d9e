"""`PixelStore`: every image of a dataset decoded once into one memory-mapped array."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from spaces import DataError
from trainables.dataset import Dataset
from trainables.images import IMAGE_ERRORS, read_rgb, resize_square
from trainables.listing import SplitName


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


def build_store(
    dataset: Dataset,
    form: PixelFormat,
    *,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PixelStore:
    """Decode ``dataset`` into a file below ``cache``, or find it there from an earlier sweep.

    Written to a temporary name and renamed: a file of that name is whole. Raises `DataError` if an
    image has become unreadable since the dataset was surveyed.
    """
    key = hashlib.blake2b(digest_size=12)
    key.update("\n".join([dataset.fingerprint, *dataset.paths, repr(form)]).encode())
    store = PixelStore(cache / "pixels" / f"{key.hexdigest()}.npy")
    if store.file.exists():
        return store
    store.file.parent.mkdir(parents=True, exist_ok=True)
    partial = store.file.with_suffix(f".{os.getpid()}.partial")
    shape = (len(dataset), form.side, form.side, 3)
    pixels = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)

    def decode(row: int) -> None:
        try:
            image = read_rgb(dataset.file(row))
        except IMAGE_ERRORS as error:
            raise DataError(
                f"{dataset.file(row)} could be read before and can't now ({error}); "
                "launch again, it will be left out."
            ) from None
        pixels[row] = resize_square(image, form.side, form.interpolation)

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(decode, range(len(dataset))), start=1):
                progress(done, len(dataset))
        pixels.flush()
        partial.replace(store.file)
    finally:
        partial.unlink(missing_ok=True)
    return store


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

    @classmethod
    def of(cls, dataset: Dataset, store: PixelStore, *splits: SplitName) -> "ImageSet":
        """The images of some splits."""
        rows = dataset.rows(*splits)
        return cls(store, rows, dataset.labels[rows])

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, chosen: np.ndarray) -> torch.Tensor:
        """``(m, 3, side, side)`` uint8 of positions ``chosen`` within this set."""
        return self.store.read(self.rows[chosen])
