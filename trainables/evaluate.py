"""From images to logits, and from logits to the metrics of an epoch and of a test."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)
from torch import nn

from trainables.features import Inputs
from trainables.memory import run_by_halves


def logits_of(
    model: nn.Module, inputs: Inputs, *, autocast: torch.dtype | None = None
) -> np.ndarray:
    """``(n, classes)`` float32 logits of all images, in order. Puts ``model`` in eval mode.

    Without ``autocast`` a GPU computes in full float32, as an export on a CPU will.
    """
    model.eval()
    device = next(model.parameters()).device.type

    def answer(chosen: np.ndarray) -> np.ndarray:
        (features,) = inputs.batches([chosen])
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            return np.asarray(inputs.split.suffix(features).float().cpu().numpy())

    batches = np.array_split(np.arange(len(inputs)), -(-len(inputs) // inputs.batch))
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=autocast is not None):
        return np.concatenate([part for b in batches for part in run_by_halves(answer, b)])


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
    losses = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return Scores(
        loss=float(losses.mean()),
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=_balanced_accuracy(labels, predicted),
        macro_f1=_macro_f1(labels, predicted, logits.shape[1]),
    )


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
        balanced_accuracy=_balanced_accuracy(labels, predicted),
        macro_f1=_macro_f1(labels, predicted, len(classes)),
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


def _balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall over the classes that ``labels`` has."""
    with warnings.catch_warnings():  # a predicted class without a true image is no fault here
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(labels, predicted))


def _macro_f1(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> float:
    every = np.arange(num_classes)
    return float(f1_score(labels, predicted, labels=every, average="macro", zero_division=0))


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    if len(np.unique(labels)) < probabilities.shape[1]:
        return None
    if probabilities.shape[1] == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))
