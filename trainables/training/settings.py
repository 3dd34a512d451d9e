"""Settings of a fine-tune besides `TrialParams`: length, patience, seed, device and precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainables.inputs import FeatureStore
from trainables.models import Precision


@dataclass(frozen=True)
class FineTuneSettings:
    """Length, early stopping and randomness of a fine-tune."""

    max_epochs: int
    """Length of the learning-rate schedule in epochs."""
    rounds_per_epoch: int = 1
    """Number of rounds in an epoch: parts after each of which the fine-tune validates."""
    stop_after: int | None = None
    """Number of rounds to run; None for all of ``max_epochs``."""
    patience: int | None = None
    """Training ends after this many epochs in a row without a better ``metric``; None: no limit."""
    metric: str = "val_accuracy"
    """Name in `METRICS` of the metric that selects the best round."""
    seed: int = 0
    """Seed of the new head, the order of images, dropout and augmentation."""
    views: int | None = None
    """Number of augmented views of each image, reused in turn; None draws a new one every epoch."""
    plateau_losses: Sequence[float] = ()
    """Validation losses, by round, of an earlier fine-tune that this one repeats. Without
    validation images, the "plateau" schedule follows these losses."""

    @property
    def rounds(self) -> int:
        """Number of rounds to run, unless patience or divergence ends training earlier."""
        longest = self.max_epochs * self.rounds_per_epoch
        return min(self.stop_after or longest, longest)

    @property
    def patience_rounds(self) -> int | None:
        """``patience`` as a number of rounds."""
        return None if self.patience is None else self.patience * self.rounds_per_epoch


@dataclass(frozen=True)
class ComputeSettings:
    """Where and how a fine-tune is computed. These settings change results only by rounding."""

    device: torch.device | str = "cpu"
    """Device to train on."""
    precision: Precision = "auto"
    """Floating-point precision; "auto" is bfloat16 autocast where that is faster."""
    store: FeatureStore | None = None
    """Store of the frozen prefix's features; None computes them in every epoch."""
    cache: Path | None = None
    """Folder that keeps solved heads, and measurements of the CPU's speed in bfloat16. With None,
    "auto" chooses float32 on a CPU."""
