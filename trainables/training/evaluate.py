"""From images to logits, and from logits to the metrics of an epoch."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from trainables.evaluation.metrics import balanced_accuracy, macro_f1
from trainables.inputs.feature_loader import Inputs
from trainables.models.frozen_prefix import Features
from trainables.models.precision import full_float32
from trainables.training.gpu_memory import run_by_halves


def logits_of(
    model: nn.Module, inputs: Inputs, *, autocast: torch.dtype | None = None
) -> np.ndarray:
    """``(n, classes)`` float32 logits of all images, in order. Puts ``model`` in eval mode.

    Without ``autocast`` a GPU computes in full float32, as an export on a CPU will.
    """
    model.eval()
    device = next(model.parameters()).device.type
    logits: list[torch.Tensor] = []

    def answer(features: Features, some: slice) -> torch.Tensor:
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            return inputs.split.suffix(tuple(f[some] for f in features)).float()

    batches = np.array_split(np.arange(len(inputs)), -(-len(inputs) // inputs.batch))
    with torch.inference_mode(), full_float32():
        for batch, features in zip(batches, inputs.batches(batches), strict=True):
            logits += run_by_halves(partial(answer, features), 0, len(batch))
        return np.asarray(torch.cat(logits).cpu().numpy())


def half(logits: np.ndarray) -> np.ndarray:
    """As float16, to be kept or sent."""
    return np.asarray(np.clip(logits, -6e4, 6e4), dtype=np.float16)


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
