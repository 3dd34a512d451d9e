"""The metrics of a test: what the final model's answers come to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainables.evaluate import balanced_accuracy, macro_f1


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


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1]:
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))
