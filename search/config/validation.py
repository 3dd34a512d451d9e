"""`Validation`: the images that score the trials of a sweep, and the parts that score repeats."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from search.config.rounds import Rounds
from search.config.settings import SweepConfig

if TYPE_CHECKING:
    import numpy as np

    from trainables.data import Dataset


_FEWEST_PARTS = 3


@dataclass(frozen=True)
class Validation:
    """How many images score a trial, and on how many other parts of the images it may be repeated.

    The best of many trials owes part of its score to the validation images: they happen to suit it.
    So a repeat is validated on a part of the training images, as many as the validation images, and
    trains on these in return.
    """

    images: int
    """Number of images that score a trial."""
    parts: int = 0
    """Number of parts of the training images. 0 if repeats are scored on the images of the trial:
    because the data source chose these (they may come from another place or time), because they are
    all images already (``folds``), because an epoch has several rounds (then they are many), or
    because repeats would train on far fewer images than the trial."""

    @classmethod
    def of(cls, config: SweepConfig, dataset: "Dataset", rounds: Rounds) -> Self:
        """Validation of a sweep with these settings, images and rounds."""
        images = len(rounds.validation_rows(config, dataset))
        if not dataset.val_is_drawn or config.folds or rounds.per_epoch > 1:
            return cls(images)
        rows = dataset.rows("train")
        units = set(zip(dataset.labels[rows].tolist(), dataset.units_at(rows), strict=True))
        fewest = min(Counter(label for label, _ in units).values())
        parts = min(len(rows) // images, fewest)  # each part has every class
        return cls(images, parts if parts >= _FEWEST_PARTS else 0)

    def rows_of_part(self, part: int, dataset: "Dataset", seed: int) -> "np.ndarray":
        """Rows of the training images of a part, ascending, ``(m,)`` int64."""
        from trainables.evaluation import fold_numbers

        rows = dataset.rows("train")
        numbers = fold_numbers(
            dataset.labels[rows],
            self.parts,
            seed,
            digests=dataset.digests_at(rows),
            units=dataset.units_at(rows),
        )
        found: np.ndarray = rows[numbers == part]
        return found
