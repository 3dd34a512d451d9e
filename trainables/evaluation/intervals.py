"""Bootstrap intervals of a test's metrics."""

from dataclasses import dataclass

import numpy as np

_MOST_WORK = 500_000_000
"""Resampled scores that an interval is worth: about ten seconds."""


@dataclass(frozen=True)
class Intervals:
    """95% intervals of a test's metrics, by the bootstrap (Efron 1979).

    None where nothing varies that could be drawn again: a test without a mistake has no spread.
    """

    balanced_accuracy: tuple[float, float] | None
    macro_f1: tuple[float, float] | None
    roc_auc: tuple[float, float] | None
    """None also for a class without an image, and where it would take minutes."""


def bootstrap_intervals(
    probabilities: np.ndarray, labels: np.ndarray, *, resamples: int = 200, seed: int = 0
) -> Intervals:
    """By drawing the test images again, of each class as many as there are.

    What another training would have changed is not in them.
    """
    from scipy.sparse import csr_array

    rng, classes = np.random.default_rng(seed), probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    drawn = np.zeros((resamples, len(labels)), dtype=np.float32)
    """How often each image is drawn."""
    present = np.unique(labels)
    for k in present:
        members = np.flatnonzero(labels == k)
        even = np.full(len(members), 1 / len(members))
        drawn[:, members] = rng.multinomial(len(members), even, size=resamples)

    def by_class(counted: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        places = (np.arange(len(numbers)), numbers)
        one = csr_array((np.ones(len(numbers), np.float32), places), (len(numbers), classes))
        return np.asarray(counted @ one)

    found = by_class(drawn * (predicted == labels), labels)
    images, answers = by_class(drawn, labels), by_class(drawn, predicted)
    f1 = 2 * found / np.maximum(images + answers, 1)
    aucs = None
    if len(present) == classes and drawn.size * classes <= _MOST_WORK:
        each = [_drawn_auc(probabilities[:, k], labels == k, drawn) for k in range(classes)]
        aucs = np.mean(each, axis=0)
    return Intervals(
        balanced_accuracy=_middle((found[:, present] / images[:, present]).mean(axis=1)),
        macro_f1=_middle(f1.mean(axis=1)),
        roc_auc=None if aucs is None else _middle(aucs),
    )


def _middle(values: np.ndarray) -> tuple[float, float] | None:
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high)) if low < high else None


def _drawn_auc(scores: np.ndarray, positive: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """``(resamples,)`` areas under the ROC curve, an image counting as often as it is ``drawn``."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of equal scores
    yes = np.add.reduceat((drawn * positive)[:, order], starts, axis=1)
    no = np.add.reduceat((drawn * ~positive)[:, order], starts, axis=1)
    below = no.cumsum(axis=1) - no / 2
    areas: np.ndarray = (yes * below).sum(axis=1) / (yes.sum(axis=1) * no.sum(axis=1))
    return areas
