"""Confidence intervals of test metrics: Wilson's for a proportion, the bootstrap for the others."""

from dataclasses import dataclass

import numpy as np

_MAX_RESAMPLED_SCORES = 500_000_000
"""Largest ``resamples * images * classes`` for which ROC AUC is resampled; takes ten seconds."""


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95% interval of a proportion (Wilson 1927), from the number of successes in ``trials``."""
    from scipy.stats import binomtest  # takes a second to import, and few callers need it

    interval = binomtest(successes, trials).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class BootstrapIntervals:
    """95% percentile intervals of test metrics (Efron 1979).

    An interval is None if every resample gives the same value, as in a test without mistakes.
    """

    balanced_accuracy: tuple[float, float] | None
    macro_f1: tuple[float, float] | None
    roc_auc: tuple[float, float] | None
    """ROC AUC of one class against the rest, mean over classes. Also None if a class has no test
    image, or if resampling would take minutes."""


def bootstrap_intervals(
    probabilities: np.ndarray, labels: np.ndarray, *, resamples: int = 200, seed: int = 0
) -> BootstrapIntervals:
    """Intervals from test images resampled with replacement within each class.

    ``probabilities`` are ``(n, classes)``; ``labels`` are ``(n,)`` class numbers. The intervals
    reflect the choice of test images, not the variation between training runs.
    """
    classes, predicted = probabilities.shape[1], probabilities.argmax(axis=1)
    counts = _resample_counts(labels, resamples, seed)
    correct = _sum_by_class(counts * (predicted == labels), labels, classes)
    images = _sum_by_class(counts, labels, classes)
    predictions = _sum_by_class(counts, predicted, classes)
    f1 = 2 * correct / np.maximum(images + predictions, 1)
    present = np.unique(labels)
    aucs = None
    if len(present) == classes and counts.size * classes <= _MAX_RESAMPLED_SCORES:
        each = [_resampled_auc(probabilities[:, k], labels == k, counts) for k in range(classes)]
        aucs = np.mean(each, axis=0)
    return BootstrapIntervals(
        balanced_accuracy=_central_95((correct[:, present] / images[:, present]).mean(axis=1)),
        macro_f1=_central_95(f1.mean(axis=1)),
        roc_auc=None if aucs is None else _central_95(aucs),
    )


def _resample_counts(labels: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """``(resamples, n)`` float32: how often each resample contains each image."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)), dtype=np.float32)
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        uniform = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), uniform, size=resamples)
    return counts


def _sum_by_class(values: np.ndarray, class_numbers: np.ndarray, classes: int) -> np.ndarray:
    """``(resamples, classes)`` sums of ``(resamples, n)`` values over the images of each class."""
    from scipy.sparse import csr_array

    n = len(class_numbers)
    entries = (np.ones(n, np.float32), (np.arange(n), class_numbers))
    return np.asarray(values @ csr_array(entries, (n, classes)))


def _central_95(values: np.ndarray) -> tuple[float, float] | None:
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high)) if low < high else None


def _resampled_auc(scores: np.ndarray, positive: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``(resamples,)`` areas under the ROC curve, each image weighted by its count.

    ``scores`` and ``positive`` are ``(n,)``, ``counts`` is ``(resamples, n)``. Pairs of equal
    scores count half.
    """
    order = np.argsort(scores, kind="stable")
    tie_starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positives = np.add.reduceat((counts * positive)[:, order], tie_starts, axis=1)
    negatives = np.add.reduceat((counts * ~positive)[:, order], tie_starts, axis=1)
    negatives_below = negatives.cumsum(axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    areas: np.ndarray = (positives * negatives_below).sum(axis=1) / pairs
    return areas
