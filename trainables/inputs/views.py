"""Numbered views: which random transform each image gets in each epoch of training.

An image has `Views.count` views at each of a few levels of strength, the same in every trial, so
that what a frozen prefix makes of a view can be kept. A trial of any strength draws each image at
one of the two levels around it, and hits that strength in the mean.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from trainables.inputs.augmentation import NUMBERS, augment

LEVELS = (0.0, 0.5, 1.0)
"""Few, so that trials of different strength share views. Level 0 is the image itself."""
_CHUNK = 2**14
"""Images whose numbers are drawn at once."""


@dataclass(frozen=True)
class Views:
    """How the images of one trial are augmented."""

    strength: float
    """`spaces.TrialParams.augment`."""
    count: int | None
    """Views before they come round again; None never repeats one."""
    seed: int

    def number(self, epoch: int) -> int:
        """The view that an epoch shows, both counted from 0."""
        return epoch if self.count is None else epoch % self.count

    def levels(self, rows: np.ndarray, number: int) -> np.ndarray:
        """Index into `LEVELS` for each image ``rows``, ``(n,)`` int64.

        A stronger trial shows the images that a weaker one shows at the higher level, and more.
        """
        upper = int(np.searchsorted(LEVELS, self.strength))
        if LEVELS[upper] == self.strength:
            return np.full(len(rows), upper)
        step = LEVELS[upper] - LEVELS[upper - 1]
        share = (self.strength - LEVELS[upper - 1]) / step
        chances = self._numbers(rows, number)[:, NUMBERS]
        return np.where(chances < share, upper, upper - 1)

    def show(
        self, images: torch.Tensor, rows: np.ndarray, number: int, levels: np.ndarray
    ) -> torch.Tensor:
        """Transform ``(n, 3, h, w)`` uint8 images of dataset ``rows`` into their views."""
        return augment(images, np.array(LEVELS)[levels], self._numbers(rows, number)[:, :NUMBERS])

    def blocks(self) -> float:
        """How many sets of views of all images there are at this strength."""
        upper = int(np.searchsorted(LEVELS, self.strength))
        used = {upper} if LEVELS[upper] == self.strength else {upper - 1, upper}
        return sum(1 if level == 0 else self.count or math.inf for level in used)

    def _numbers(self, rows: np.ndarray, number: int) -> np.ndarray:
        """``(n, NUMBERS + 1)`` float32 in [0, 1): the last is for the level."""
        if len(rows) == 0:
            return np.empty((0, NUMBERS + 1), np.float32)
        chunks, places = np.divmod(rows, _CHUNK)
        drawn = np.empty((len(rows), NUMBERS + 1), np.float32)
        for chunk in np.unique(chunks).tolist():
            inside = chunks == chunk
            drawn[inside] = _drawn(self.seed, number, chunk)[places[inside]]
        return drawn


@lru_cache(maxsize=64)
def _drawn(seed: int, number: int, chunk: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number, chunk])
    return rng.random((_CHUNK, NUMBERS + 1), dtype=np.float32)
