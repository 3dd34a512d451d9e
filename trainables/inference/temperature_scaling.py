"""Temperature scaling (Guo et al. 2017): one number that makes a model's confidence honest."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from trainables.evaluation import cross_entropies
from trainables.models import head_names

_LEAST, _MOST = 0.1, 10.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> float:
    """What to divide ``(n, classes)`` logits by for the least loss on ``(n,)`` class numbers.

    1 unless that lowers the loss of images it was not fitted on, each of ``(n,)`` ``folds`` left
    out once.
    """
    held_out = np.empty(len(labels))
    for fold in np.unique(folds):
        rest, here = folds != fold, folds == fold
        held_out[here] = cross_entropies(
            logits[here] / _fitted(logits[rest], labels[rest]), labels[here]
        )
    if held_out.mean() >= cross_entropies(logits, labels).mean():
        return 1.0
    return _fitted(logits, labels)


def apply_temperature(model: nn.Module, temperature: float) -> None:
    """Have a timm ``model`` answer with its logits divided, by its last layers' weights alone."""
    for name in head_names(model):
        layers = model.get_submodule(name).modules()
        last = [layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.div_(temperature)


def _fitted(logits: np.ndarray, labels: np.ndarray) -> float:
    found = minimize_scalar(
        lambda log: cross_entropies(logits / np.exp(log), labels).mean(),
        bounds=(np.log(_LEAST), np.log(_MOST)),
        method="bounded",
    )
    return float(np.exp(found.x))
