"""`PixelStore`: the pixels of a dataset's images, decoded, compressed, or in their original files.

`build_store` chooses the form and makes the files.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from spaces import DataError
from trainables.data.dataset import Dataset
from trainables.data.jpeg_file import JpegFile, decode_jpeg
from trainables.images import (
    DECODER_VERSION,
    IMAGE_ERRORS,
    PixelFormat,
    content_digest,
    describe_image_error,
    read_image_file,
    read_rgb,
)


class PixelStore(ABC):
    """All images of a dataset in one format, in the dataset's order."""

    is_exact: ClassVar[bool] = True
    """Whether the pixels are exactly those that `predict` makes of the original files."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Text that is equal for stores of the same pixels."""

    @abstractmethod
    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Images at ``rows``, ``(m,)``: ``(m, 3, side, side)`` uint8, channels last in memory."""


@dataclass(frozen=True)
class StoredImages(PixelStore):
    """Images in a file of the cache.

    Pickling it sends only the path: processes map the same file and share its pages in the
    operating system's page cache.
    """

    file: Path

    @property
    def key(self) -> str:
        """See `PixelStore.key`."""
        return self.file.stem


@dataclass(frozen=True)
class DecodedImages(StoredImages):
    """Images that were decoded into a file, an array ``(n, side, side, 3)`` uint8."""

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """See `PixelStore.read`."""
        return torch.from_numpy(_decoded_in(self.file)[rows]).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class CompressedImages(StoredImages):
    """Images that were resized and compressed as JPEGs into a file, a `JpegFile`.

    Their pixels differ a little from the decoded ones: by about one level of 255 on average.
    """

    side: int
    """Width and height in pixels."""
    is_exact = False

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """See `PixelStore.read`. Uses as many threads as torch does in this process."""
        jpegs = _jpegs_in(self.file)
        return _read_by_threads(rows, self.side, lambda row: decode_jpeg(jpegs[row]))


@dataclass(frozen=True, eq=False)
class OriginalImages(PixelStore):
    """Images that are decoded from their files whenever they are read, to the same pixels."""

    dataset: Dataset
    pixel_format: PixelFormat

    @cached_property
    def key(self) -> str:
        """See `PixelStore.key`."""
        return store_key(self.dataset, self.pixel_format)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """See `PixelStore.read`. Uses as many threads as torch does in this process.

        Raises `DataError` as `read_surveyed_image` does.
        """
        return _read_by_threads(
            rows,
            self.pixel_format.side,
            lambda row: read_original(self.dataset, self.pixel_format, row),
        )


def _read_by_threads(
    rows: np.ndarray, side: int, read: Callable[[int], np.ndarray]
) -> torch.Tensor:
    """Images at ``rows`` as `PixelStore.read` gives them; ``read`` decodes one."""
    pixels = np.empty((len(rows), side, side, 3), np.uint8)

    def read_into(place: int) -> None:
        pixels[place] = read(int(rows[place]))

    in_order = np.argsort(rows)  # rows of one Parquet row group follow one another
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(read_into, in_order))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def stored_files(stores: Iterable[PixelStore]) -> list[Path]:
    """Files of the stores that have one in the cache."""
    return [store.file for store in stores if isinstance(store, StoredImages)]


def store_key(dataset: Dataset, pixel_format: PixelFormat, compression: str = "") -> str:
    """Key of the store of a dataset in a format; ``compression`` is empty for exact pixels."""
    key = hashlib.blake2b(digest_size=12)
    form = " ".join([DECODER_VERSION, pixel_format.key, *[compression] * bool(compression)])
    key.update("\n".join([form, *dataset.digests]).encode())
    return key.hexdigest()


def read_original(dataset: Dataset, pixel_format: PixelFormat, row: int) -> np.ndarray:
    """Image ``row`` of a dataset in a format, ``(side, side, 3)`` uint8, from its original file.

    Raises `DataError` as `read_surveyed_image` does.
    """
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
def _decoded_in(file: Path) -> np.ndarray:
    """Memory map of a file of decoded images, opened once per process."""
    mapped: np.ndarray = np.load(file, mmap_mode="r")
    return mapped


@lru_cache(maxsize=8)
def _jpegs_in(file: Path) -> JpegFile:
    """Memory map of a file of compressed images, opened once per process."""
    return JpegFile.open(file)
