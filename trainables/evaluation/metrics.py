"""What answers come to: metrics, intervals, calibration. Light to import: NumPy alone."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


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
class Scores:
    """Validation metrics of one epoch."""

    loss: float
    accuracy: float
    balanced_accuracy: float
    macro_f1: float


NO_SCORES = Scores(float("nan"), float("nan"), float("nan"), float("nan"))


def scores_of(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Metrics of ``(n, classes)`` logits against ``(n,)`` class numbers."""
    if not np.isfinite(logits).all():
        return NO_SCORES
    predicted = logits.argmax(axis=1)
    losses = cross_entropies(logits.astype(np.float64), labels)
    return Scores(
        loss=float(losses.mean()),
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        macro_f1=macro_f1(labels, predicted, logits.shape[1]),
    )


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(n,)`` losses of ``(n, classes)`` logits against ``(n,)`` class numbers."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    losses: np.ndarray = np.log(np.exp(shifted).sum(axis=1)) - chosen
    return losses
