"""`Validation`: the images that score the trials of a sweep, and the parts that score repeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from search.config.rounds import Rounds
from search.config.settings import SweepConfig

if TYPE_CHECKING:
    import numpy as np

    from trainables.data import Dataset

_LARGEST_PART = 1 / 3
"""Largest share of the training images that may be in a part: a repeat trains on the others."""


@dataclass(frozen=True)
class Validation:
    """Validation of a sweep: of trials, and of the repeats of the best ones.

    The best of many trials owes part of its score to the validation images: they happen to suit it.
    So a repeat is validated on a part of the training images instead. The validation images then
    are among those that it trains on.
    """

    images: float
    """Number of images that score a trial. If the metric is a mean over classes, it is the number
    for which a share would be as uncertain."""
    parts: "Sequence[np.ndarray]" = ()
    """Rows of disjoint parts of the training images, about as many each as validate a trial, or
    more if units are large. There are none if repeats are validated on the images of the trial:

    - if the data source chose these, which may come from another place or time;
    - with ``folds``, which validate on all images already;
    - if an epoch has several rounds, because the validation images are many then;
    - if some part would lack a class, or hold more than a third of the training images.
    """

    @classmethod
    def of(cls, config: SweepConfig, dataset: "Dataset", rounds: Rounds) -> Self:
        """Validation of a sweep with these settings, images and rounds."""
        rows = rounds.validation_rows(config, dataset)
        images = _comparable_number(dataset.labels[rows], config.metric)
        if not dataset.val_is_drawn or config.folds or rounds.per_epoch > 1:
            return cls(images)
        return cls(images, _parts(dataset, len(rows), config.seed))


def _comparable_number(labels: "np.ndarray", metric: str) -> float:
    """Number of images for which a share is as uncertain as this metric of ``(n,)`` labels."""
    if metric not in ("val_balanced_accuracy", "val_macro_f1"):
        return len(labels)
    import numpy as np

    counts = np.unique(labels, return_counts=True)[1]
    return float(len(counts) ** 2 / (1 / counts).sum())


def _parts(dataset: "Dataset", images: int, seed: int) -> "Sequence[np.ndarray]":
    """Rows of parts of the training images of about so many images each; none if they don't fit."""
    import numpy as np

    from trainables.evaluation import fold_numbers

    rows = dataset.rows("train")
    labels, count = dataset.labels[rows], len(rows) // images
    if count * _LARGEST_PART < 1:
        return ()
    digests, units = dataset.digests_at(rows), dataset.units_at(rows)
    numbers = fold_numbers(labels, count, seed, digests=digests, units=units)
    parts = [rows[numbers == number] for number in range(count)]
    fit = all(
        len(part) <= _LARGEST_PART * len(rows)
        and len(np.unique(dataset.labels[part])) == len(dataset.classes)
        for part in parts
    )
    return parts if fit else ()
