"""What answers come to: metrics, intervals, calibration. Light to import: NumPy alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_MOST_WORK = 500_000_000
"""Resampled scores that an interval is worth: about ten seconds."""


@dataclass(frozen=True)
class TestMetrics:
    """The honest result: a model's answers on images nothing was tuned on."""

    __test__ = False  # not a pytest class

    accuracy: float
    accuracy_ci95: tuple[float, float]
    """Wilson's interval (Wilson 1927)."""
    balanced_accuracy: float
    macro_f1: float
    roc_auc: float | None
    """One against the rest, mean over classes; None where a class has no test image."""
    confusion_matrix: list[list[int]]
    """Rows are true classes, columns predicted ones."""
    classes: list[str]
    per_class: dict[str, dict[str, float]]
    """``precision``, ``recall``, ``f1`` and ``images`` of each class."""

    def to_dict(self) -> dict[str, Any]:
        """As in ``metrics.json``."""
        return asdict(self)


def test_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> TestMetrics:
    """All metrics of ``(n, classes)`` probabilities against ``(n,)`` class numbers."""
    from scipy.stats import binomtest  # these take a second that a search need not wait for
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    numbers = np.arange(len(classes))
    right = int((predicted == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(method="wilson")
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    return TestMetrics(
        accuracy=right / len(labels),
        accuracy_ci95=(float(interval.low), float(interval.high)),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        macro_f1=macro_f1(labels, predicted, len(classes)),
        roc_auc=_roc_auc(labels, probabilities),
        confusion_matrix=confusion_matrix(labels, predicted, labels=numbers).tolist(),
        classes=list(classes),
        per_class={
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                "images": int(support[k]),
            }
            for k, name in enumerate(classes)
        },
    )


def fold_numbers(
    labels: np.ndarray, folds: int = 5, seed: int = 0, *, digests: Sequence[str] | None = None
) -> np.ndarray:
    """``(n,)`` numbers of folds at random, each class spread evenly over them.

    Images of one of ``(n,)`` ``digests``, which are copies, are in one fold.
    """
    if digests is not None:
        _, first, copy_of = np.unique(digests, return_index=True, return_inverse=True)
        return fold_numbers(labels[first], folds, seed)[copy_of]
    numbers = np.empty(len(labels), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    numbers[order] = np.arange(len(labels)) % folds
    return numbers


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that ``labels`` has."""
    images = np.bincount(labels)
    right = np.bincount(labels[labels == predicted], minlength=len(images))
    return float((right[images > 0] / images[images > 0]).mean())


def macro_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Mean F1 over all classes; 0 for one that has no image and is never predicted."""
    right = np.bincount(labels[labels == predicted], minlength=num_classes)
    both = np.bincount(labels, minlength=num_classes)
    both = both + np.bincount(predicted, minlength=num_classes)
    return float((2 * right / np.maximum(both, 1)).mean())


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1]:
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be believed: the answers, in bins of equal width (Guo et al. 2017)."""

    confidence: np.ndarray
    """``(bins,)`` mean probability of the answers in each; NaN where there are none."""
    accuracy: np.ndarray
    """``(bins,)`` share of them that is right."""
    images: np.ndarray
    """``(bins,)`` how many there are."""

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of the two, over images."""
        far = np.abs(self.confidence - self.accuracy)
        return float(np.nansum(far * self.images) / self.images.sum())


def calibration(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15) -> Calibration:
    """Of ``(n, classes)`` probabilities against ``(n,)`` class numbers."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    at = np.minimum((best * bins).astype(int), bins - 1)
    images = np.bincount(at, minlength=bins)
    many = np.where(images, images, np.nan)
    return Calibration(
        confidence=np.bincount(at, best, minlength=bins) / many,
        accuracy=np.bincount(at, right, minlength=bins) / many,
        images=images,
    )


@dataclass(frozen=True)
class Intervals:
    """95% intervals of a test's metrics, by the bootstrap (Efron 1979).

    None where nothing varies that could be drawn again: a test without a mistake has no spread.
    """

    balanced_accuracy: tuple[float, float] | None
    macro_f1: tuple[float, float] | None
    roc_auc: tuple[float, float] | None
    """None also for a class without an image, and where it would take minutes."""


def intervals(
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
