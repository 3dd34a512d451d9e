"""`Views`: numbered augmentations of each image, the same in every trial of the same kinds.

An image has `Views.count` views at each of a few strength levels. All trials with the same kinds of
transforms share them, so the features that frozen layers compute from a view can be stored. A trial
whose strength lies between two levels augments each image at one of the two, so that the mean level
equals the strength.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from trainables.inputs.augmentation import DEFAULT_KINDS, NUMBERS_PER_IMAGE, TransformKinds, augment

LEVELS = (0.0, 0.5, 1.0)
"""Strength levels of views: few, so that trials share views. Level 0 leaves images unchanged."""
_CHUNK = 2**14
"""Number of images whose random numbers are drawn at once."""


@dataclass(frozen=True)
class Views:
    """Augmentation of the images of one trial."""

    strength: float
    """Mean strength of the transforms: `spaces.TrialParams.augment`."""
    count: int | None
    """Number of views of each image, used in turn; None gives every epoch a new view."""
    seed: int
    """Seed of the random numbers that determine the views."""
    kinds: TransformKinds = DEFAULT_KINDS
    """Kinds of transforms that are on. Trials of different kinds share only level 0."""

    def block_id(self, level: int, view: int) -> tuple[object, ...]:
        """Values that determine a view at a level, apart from the images."""
        return (level, view, self.seed, self.kinds) if LEVELS[level] else (level,)

    def view_of(self, epoch_index: int) -> int:
        """Number of the view that an epoch uses, both counted from 0."""
        return epoch_index if self.count is None else epoch_index % self.count

    def levels(self, rows: np.ndarray, view: int) -> np.ndarray:
        """``(n,)`` int64 indices into `LEVELS` for the images at ``(n,)`` dataset ``rows``.

        If the strengths of two trials lie between the same two levels, the stronger trial uses the
        upper level for every image for which the weaker trial does. The trials share these views.
        """
        upper = int(np.searchsorted(LEVELS, self.strength))
        if LEVELS[upper] == self.strength:
            return np.full(len(rows), upper)
        step = LEVELS[upper] - LEVELS[upper - 1]
        share = (self.strength - LEVELS[upper - 1]) / step
        thresholds = self._numbers(rows, view)[:, NUMBERS_PER_IMAGE]
        return np.where(thresholds < share, upper, upper - 1)

    def augment(
        self, images: torch.Tensor, rows: np.ndarray, view: int, levels: np.ndarray
    ) -> torch.Tensor:
        """View number ``view`` of ``(n, 3, h, w)`` uint8 images at dataset ``rows``.

        ``levels`` are ``(n,)`` indices into `LEVELS`.
        """
        numbers = self._numbers(rows, view)[:, :NUMBERS_PER_IMAGE]
        return augment(images, np.array(LEVELS)[levels], numbers, self.kinds)

    def count_per_image(self) -> float:
        """Number of different views of one image, over all levels that the trial uses.

        Level 0 has one view. Every other level has `count` views; None counts as infinitely many.
        """
        upper = int(np.searchsorted(LEVELS, self.strength))
        used = {upper} if LEVELS[upper] == self.strength else {upper - 1, upper}
        return sum(1 if level == 0 else self.count or math.inf for level in used)

    def _numbers(self, rows: np.ndarray, view: int) -> np.ndarray:
        """``(n, NUMBERS_PER_IMAGE + 1)`` uniform float32; the last column decides the level."""
        if len(rows) == 0:
            return np.empty((0, NUMBERS_PER_IMAGE + 1), np.float32)
        chunks, positions = np.divmod(rows, _CHUNK)
        numbers = np.empty((len(rows), NUMBERS_PER_IMAGE + 1), np.float32)
        drawn = _chunks_of_view(self.seed, view)
        for chunk in np.unique(chunks).tolist():
            if chunk not in drawn:
                rng = np.random.default_rng([self.seed, view, chunk])
                drawn[chunk] = rng.random((_CHUNK, NUMBERS_PER_IMAGE + 1), dtype=np.float32)
            inside = chunks == chunk
            numbers[inside] = drawn[chunk][positions[inside]]
        return numbers


@lru_cache(maxsize=2)
def _chunks_of_view(seed: int, view: int) -> dict[int, np.ndarray]:
    """Uniform numbers of a view, ``(_CHUNK, NUMBERS_PER_IMAGE + 1)`` for each chunk of images.

    Filled as chunks are needed. An epoch uses one view, and a million images 75 MiB of it.
    """
    return {}
