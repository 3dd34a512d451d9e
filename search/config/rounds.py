"""`Rounds`: the parts of an epoch, and the validation images that score them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.config.settings import SweepConfig

if TYPE_CHECKING:
    import numpy as np

    from trainables.data import Dataset


@dataclass(frozen=True)
class Rounds:
    """How a sweep divides an epoch, determined once, when it is launched.

    A trial validates, is recorded and may be stopped after every round.
    """

    per_epoch: int = 1
    """Number of rounds in an epoch."""
    val_images: int | None = None
    """About so many validation images score a round; None for all."""

    def validation_rows(self, config: SweepConfig, dataset: "Dataset") -> "np.ndarray":
        """Rows of the images that score a round, ascending, ``(n,)`` int64.

        A part has its share of each class, at least one image.
        """
        rows = dataset.rows(*config.validation_splits)
        if self.val_images is None or len(rows) <= self.val_images:
            return rows
        from trainables.stratification import stratified_part

        part: np.ndarray = rows[stratified_part(dataset.labels[rows], self.val_images)]
        return part


WHOLE_EPOCHS = Rounds()
"""One round in each epoch, scored on all validation images."""


def expected_rounds(config: SweepConfig, rounds_per_epoch: int) -> float:
    """Total number of rounds that the trials of a search are expected to train.

    With early stopping by ASHA, one trial in eta is promoted at every rung; a sampler that chooses
    which trials go on ends the search after so many rounds. Other stopping rules are assumed to
    stop no trial.
    """
    max_rounds = config.epochs * rounds_per_epoch
    if config.stopping_name not in ("asha", "freeze-thaw"):
        return float(config.trials * max_rounds)
    total, running, rounds_done = 0.0, float(config.trials), 0
    rung = config.asha.grace_rounds(rounds_per_epoch)
    while rounds_done < max_rounds:
        rounds = min(rung, max_rounds) - rounds_done
        total += running * rounds
        rounds_done += rounds
        running = max(running / config.asha.reduction_factor, 1.0)
        rung *= config.asha.reduction_factor
    return total


def images_per_epoch(config: SweepConfig, dataset: "Dataset") -> int:
    """Number of images that one fine-tune trains on in an epoch."""
    images = len(dataset.rows(*config.validation_splits if config.folds else ("train",)))
    return images * (config.folds - 1) // config.folds if config.folds else images
