"""Temperature scaling (Guo et al. 2017): calibration that divides all logits by one number."""

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from trainables.evaluation import cross_entropies
from trainables.models import head_names

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.1, 10.0


def fit_temperature(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> float:
    """Temperature that minimises the loss of ``(n, classes)`` logits on ``(n,)`` class numbers.

    Returns 1 unless scaling helps in cross-validation over the ``(n,)`` fold numbers ``folds``. To
    help, it must lower the mean loss if each fold is scaled by a temperature that was fitted on the
    other folds. With one fold alone, nothing shows that it helps.
    """
    if len(np.unique(folds)) < 2:
        return 1.0
    held_out = np.empty(len(labels))
    for fold in np.unique(folds):
        train, val = folds != fold, folds == fold
        temperature = _minimise_loss(logits[train], labels[train])
        held_out[val] = cross_entropies(logits[val] / temperature, labels[val])
    if held_out.mean() >= cross_entropies(logits, labels).mean():
        return 1.0
    return _minimise_loss(logits, labels)


def apply_temperature(model: nn.Module, temperature: float) -> None:
    """Divide the logits of a timm ``model`` by ``temperature``: scales its last layers in place."""
    for name in head_names(model):
        layers = model.get_submodule(name).modules()
        last = [layer for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.div_(temperature)


def _minimise_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Temperature with the lowest mean cross-entropy, searched on a logarithmic scale."""
    optimum = minimize_scalar(
        lambda log: cross_entropies(logits / np.exp(log), labels).mean(),
        bounds=(np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)),
        method="bounded",
    )
    return float(np.exp(optimum.x))
