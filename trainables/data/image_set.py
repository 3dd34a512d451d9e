"""`ImageSet`: labelled images to train or evaluate on, as rows of a `PixelStore`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trainables.data.dataset import Dataset
from trainables.data.pixel_store import PixelStore
from trainables.listing import SplitName


@dataclass(frozen=True)
class ImageSet:
    """Some images of a store, with their labels. Holds no pixels itself."""

    store: PixelStore
    rows: np.ndarray
    """Rows of the store, ``(n,)`` int64."""
    labels: np.ndarray
    """Class number of each image, ``(n,)`` int64."""
    parent_rows: np.ndarray | None = None
    """`rows` of the full set, if this set is a subset. Both sets share stored features."""
    units_of_rows: Sequence[str] | None = None
    """Unit of each row of the store, as in `Dataset.units`; None if none belong together."""

    @classmethod
    def of(cls, dataset: Dataset, store: PixelStore, *splits: SplitName) -> "ImageSet":
        """All images in the given splits of a dataset."""
        rows = dataset.rows(*splits)
        units = dataset.units or dataset.digests
        return cls(store, rows, dataset.labels[rows], units_of_rows=units)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def units(self) -> list[str] | None:
        """Unit of each image; images of one unit belong into one fold."""
        known = self.units_of_rows
        return None if known is None else [known[row] for row in self.rows]

    @property
    def sharing_rows(self) -> np.ndarray:
        """Rows of the images that share a block of stored features with these, these included."""
        return self.rows if self.parent_rows is None else self.parent_rows

    def take(self, count: int | None) -> "ImageSet":
        """First ``count`` images, cycling if there are fewer; all images if ``count`` is None."""
        if count is None:
            return self
        positions = np.arange(count) % len(self)
        rows, labels = self.rows[positions], self.labels[positions]
        return ImageSet(self.store, rows, labels, units_of_rows=self.units_of_rows)

    def subset(self, positions: np.ndarray) -> "ImageSet":
        """Subset at ``positions``: indices, ``(m,)`` int64, or a mask, ``(n,)`` bool."""
        rows, labels = self.rows[positions], self.labels[positions]
        return ImageSet(self.store, rows, labels, self.sharing_rows, self.units_of_rows)

    def images(self, positions: np.ndarray) -> torch.Tensor:
        """Pixels of the images at ``positions``, ``(m,)`` int64: ``(m, 3, side, side)`` uint8."""
        return self.store.read(self.rows[positions])
