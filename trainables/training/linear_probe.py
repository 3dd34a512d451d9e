"""Linear probe: the head's convex problem, solved to its end on features of a frozen backbone.

With the backbone frozen and no augmentation, the best head is the solution of a logistic regression
with an L2 penalty. scikit-learn solves it by L-BFGS in seconds. The penalty is the one with the
least cross-validated loss on the training images.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from trainables.evaluation import cross_entropies, fold_numbers
from trainables.inputs import FeatureLoader
from trainables.models import head_names
from trainables.training.evaluate import logits_of

PENALTIES = tuple(float(penalty) for penalty in 10.0 ** np.arange(-1.0, -6.0, -0.5))
"""Penalties to choose from, strongest first: the factor of half the squared norm of the weights
that is added to the mean loss, for features of mean squared norm 1."""
_FOLDS = 3
_MAX_IMAGES_TO_CHOOSE = 5000
"""Largest number of images by which the penalty is chosen; the head is solved on all."""
_PATIENCE = 3
"""Number of ever weaker penalties without a lower loss after which the choice is made."""
_MAX_STEPS = 1000
_TOLERANCE = 1e-6
"""Largest component of the gradient at which the head counts as solved. At scikit-learn's 1e-4 the
predicted probabilities of real features are up to 0.1 away from those of the minimum."""
_TOLERANCE_TO_CHOOSE = 1e-4
"""The same while the penalty is chosen: the losses of held-out images hardly differ."""
BIAS_OF_ABSENT_CLASS = -100.0
"""Bias of a class without training images."""


@dataclass(frozen=True)
class LinearHead:
    """Weights of a linear classifier."""

    weight: np.ndarray
    """``(classes, d)`` float64."""
    bias: np.ndarray
    """``(classes,)`` float64."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """``(n, classes)`` logits of ``(n, d)`` features."""
        scores: np.ndarray = features @ self.weight.T + self.bias
        return scores

    def loss(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Mean cross-entropy."""
        return float(cross_entropies(self.logits(features), labels).mean())


def fit_probe(
    model: nn.Module,
    images: FeatureLoader,
    *,
    autocast: torch.dtype | None,
    balanced: bool,
    seed: int,
) -> float:
    """Set the head of ``model`` to its linear probe on ``images``; returns its mean loss on them.

    A model with several classifier layers gets a probe in each. One that reads several vectors of
    an image, such as VOLO's auxiliary head, has none and becomes zero. ``balanced`` and ``seed``
    are those of `solve_head`.
    """
    inputs: dict[str, list[np.ndarray]] = {name: [] for name in head_names(model)}

    def keep(name: str, _layer: nn.Module, features: tuple[torch.Tensor, ...]) -> None:
        inputs[name].append(features[0].flatten(1).float().cpu().numpy())

    layers: dict[str, Any] = {name: model.get_submodule(name) for name in inputs}
    hooks = [layer.register_forward_pre_hook(partial(keep, name)) for name, layer in layers.items()]
    num_classes = logits_of(model, images, autocast=autocast).shape[1]
    for hook in hooks:
        hook.remove()
    labels, units, losses = images.images.labels, images.images.units, []
    for name, layer in layers.items():
        features = np.concatenate(inputs[name])
        if features.shape[1] != layer.weight[0].numel():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            continue
        head = solve_head(features, labels, num_classes, units=units, balanced=balanced, seed=seed)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(head.weight).view_as(layer.weight))
            layer.bias.copy_(torch.from_numpy(head.bias))
        losses.append(head.loss(features, labels))
    return float(np.mean(losses)) if losses else math.log(num_classes)


def solve_head(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    units: Sequence[str] | None = None,
    balanced: bool,
    seed: int,
) -> LinearHead:
    """Solve a linear head; choose its penalty by cross-validation.

    Args:
        features: ``(n, d)`` inputs of the classifier layer.
        labels: ``(n,)`` class numbers; every class has an image.
        num_classes: Number of classes.
        units: ``(n,)`` names; images of one unit, such as copies, share a fold.
        balanced: Whether an image counts by the inverse of its class's number of images.
        seed: Seed of the folds.
    """
    scale = float(np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean())) or 1.0
    scaled, rotation = (features / scale).astype(np.float32), None
    if len(features) < features.shape[1]:
        # Few images span few dimensions, and rotating features does not change the penalty.
        rotation = np.linalg.svd(scaled, full_matrices=False)[2]
        scaled = scaled @ rotation.T
    with threadpool_limits(1):  # more threads wait for each other on a busy machine
        penalty = _choose_penalty(scaled, labels, num_classes, units, balanced, seed)
        head = _Path(scaled, labels, num_classes, balanced, _TOLERANCE).solve(penalty)
    weight = head.weight if rotation is None else head.weight @ rotation
    return LinearHead(weight / scale, head.bias)


def _choose_penalty(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    units: Sequence[str] | None,
    balanced: bool,
    seed: int,
) -> float:
    """The penalty with the least loss on held-out images, over `_FOLDS` folds."""
    chosen = np.random.default_rng(seed).permutation(len(labels))[:_MAX_IMAGES_TO_CHOOSE]
    folds = _draw_folds(labels[chosen], None if units is None else [units[k] for k in chosen], seed)
    parts = []
    for fold in range(_FOLDS):
        inside, outside = chosen[folds != fold], chosen[folds == fold]
        path = _Path(features[inside], labels[inside], num_classes, balanced, _TOLERANCE_TO_CHOOSE)
        parts.append((path, features[outside], labels[outside]))
    best, least, since = PENALTIES[0], np.inf, 0
    for penalty in PENALTIES:
        losses = [path.solve(penalty).loss(held, truth) for path, held, truth in parts]
        if np.mean(losses) < least:
            best, least, since = penalty, float(np.mean(losses)), 0
        else:
            since += 1
        if since == _PATIENCE:
            break
    return best


def _draw_folds(labels: np.ndarray, units: Sequence[str] | None, seed: int) -> np.ndarray:
    """Fold of each image, ``(n,)``; images of a unit share it, unless that leaves a fold empty."""
    if units is not None and len(set(units)) < len(units):
        folds = fold_numbers(labels, _FOLDS, seed, units=units)
        if len(np.unique(folds)) == _FOLDS:
            return folds
    return fold_numbers(labels, _FOLDS, seed)


class _Path:
    """Solutions for ever weaker penalties, each beginning at the one before."""

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        num_classes: int,
        balanced: bool,
        tolerance: float,
    ) -> None:
        from sklearn.linear_model import LogisticRegression  # slow to import

        self._features, self._labels, self._num_classes = features, labels, num_classes
        self._model = LogisticRegression(
            warm_start=True,
            max_iter=_MAX_STEPS,
            tol=tolerance,
            class_weight="balanced" if balanced else None,
        )

    def solve(self, penalty: float) -> LinearHead:
        """The head for one penalty. A class without images gets logits far below the others."""
        from sklearn.exceptions import ConvergenceWarning

        present = np.unique(self._labels)
        weight = np.zeros((self._num_classes, self._features.shape[1]))
        bias = np.full(self._num_classes, BIAS_OF_ABSENT_CLASS)
        if len(present) == 1:
            bias[present] = 0.0
            return LinearHead(weight, bias)
        self._model.C = 1 / (penalty * len(self._labels))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # close enough after all steps
            self._model.fit(self._features, self._labels)
        coefficients, intercepts = self._model.coef_, self._model.intercept_
        if len(present) == 2:  # scikit-learn gives the log odds of the second class
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            intercepts = np.concatenate([-intercepts, intercepts]) / 2
        weight[present], bias[present] = coefficients, intercepts
        return LinearHead(weight, bias)
