"""From images to logits, and from logits to the metrics of an epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from trainables.features import Inputs
from trainables.memory import run_by_halves
from trainables.metrics import balanced_accuracy, macro_f1


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
    losses = _cross_entropy(logits.astype(np.float64), labels)
    return Scores(
        loss=float(losses.mean()),
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        macro_f1=macro_f1(labels, predicted, logits.shape[1]),
    )


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(n,)`` losses."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    losses: np.ndarray = np.log(np.exp(shifted).sum(axis=1)) - chosen
    return losses
