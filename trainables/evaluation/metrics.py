"""Classification metrics of one validation, and of the final test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainables.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class TestMetrics:
    """Metrics of the final model on the test images, which influenced no earlier decision."""

    __test__ = False  # not a pytest class

    accuracy: float
    accuracy_ci95: tuple[float, float]
    """95% interval of the accuracy (Wilson 1927)."""
    balanced_accuracy: float
    macro_f1: float
    roc_auc: float | None
    """ROC AUC of one class against the rest, mean over classes; None if a class has no image."""
    confusion_matrix: list[list[int]]
    """Numbers of images; rows are true classes, columns predicted classes."""
    classes: list[str]
    per_class: dict[str, dict[str, float]]
    """``precision``, ``recall``, ``f1`` and ``images`` of each class."""

    def to_dict(self) -> dict[str, Any]:
        """Fields as in ``metrics.json``."""
        return asdict(self)


def test_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> TestMetrics:
    """All metrics of ``(n, classes)`` probabilities against ``(n,)`` class numbers."""
    # scikit-learn takes a second to import, and a search doesn't need it
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    numbers = np.arange(len(classes))
    correct = int((predicted == labels).sum())
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    return TestMetrics(
        accuracy=correct / len(labels),
        accuracy_ci95=wilson_interval(correct, len(labels)),
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
    """Mean recall over the classes that occur in ``labels``. Arguments: ``(n,)`` class numbers."""
    images = np.bincount(labels)
    correct = np.bincount(labels[labels == predicted], minlength=len(images))
    return float((correct[images > 0] / images[images > 0]).mean())


def macro_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    """Mean F1 over all classes; a class without images and predictions has an F1 of 0."""
    correct = np.bincount(labels[labels == predicted], minlength=num_classes)
    images = np.bincount(labels, minlength=num_classes)
    predictions = np.bincount(predicted, minlength=num_classes)
    return float((2 * correct / np.maximum(images + predictions, 1)).mean())


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < probabilities.shape[1]:
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))


@dataclass(frozen=True)
class Scores:
    """Metrics of one validation."""

    loss: float
    """Mean cross-entropy, without label smoothing or class weights."""
    accuracy: float
    balanced_accuracy: float
    macro_f1: float


NO_SCORES = Scores(float("nan"), float("nan"), float("nan"), float("nan"))
"""Scores without validation images, or with a logit that is not finite."""


def scores_of(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Metrics of ``(n, classes)`` logits against ``(n,)`` class numbers.

    Returns `NO_SCORES` if a logit is not finite.
    """
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
    """``(n,)`` cross-entropy losses of ``(n, classes)`` logits against ``(n,)`` class numbers."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    of_labels = shifted[np.arange(len(labels)), labels]
    losses: np.ndarray = np.log(np.exp(shifted).sum(axis=1)) - of_labels
    return losses
