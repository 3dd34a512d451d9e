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
from PIL import Image

from spaces import DataError
from trainables.dataset import Dataset
from trainables.files import write_whole
from trainables.images import digest_of, read_rgb, resize_square
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

    A file of the store's name is whole, and holds these very bytes decoded in this order, however
    they are labelled and split. Raises `DataError` if an image has changed since the survey.
    """
    key = hashlib.blake2b(digest_size=12)
    key.update("\n".join([repr(form), *dataset.digests]).encode())
    store = PixelStore(cache / "pixels" / f"{key.hexdigest()}.npy")
    if not store.file.exists():
        write_whole(store.file, lambda partial: _decode_all(dataset, form, partial, progress))
    return store


def _decode_all(
    dataset: Dataset, form: PixelFormat, file: Path, progress: Callable[[int, int], None]
) -> None:
    shape = (len(dataset), form.side, form.side, 3)
    pixels = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)

    def decode(row: int) -> None:
        image = read_unchanged(dataset, row)
        pixels[row] = resize_square(image, form.side, form.interpolation)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(decode, range(len(dataset))), start=1):
            progress(done, len(dataset))
    pixels.flush()


def read_unchanged(dataset: Dataset, row: int) -> Image.Image:
    """Image ``row`` in RGB. Raises `DataError` if its file is not what was surveyed."""
    try:
        content = dataset.file(row).read_bytes()
    except OSError as error:
        raise DataError(f"{dataset.file(row)} is gone ({error.strerror}); bring it back.") from None
    if digest_of(content) != dataset.digests[row]:
        raise DataError(
            f"{dataset.file(row)} has changed since the data were read; launch a new sweep, "
            "or bring the file back."
        )
    return read_rgb(content)


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
