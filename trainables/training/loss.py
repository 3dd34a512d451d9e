"""`Loss`: cross-entropy with the usual remedies for class imbalance."""

from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from spaces import TrialParams

BETA = 0.999
"""Beta of the effective number of images (Cui et al. 2019). With this beta, the effective number
hardly grows beyond about 1,000 images of a class."""


class Loss(nn.Module):
    """Cross-entropy with label smoothing, class weights and focal scaling (Lin et al. 2017).

    Args:
        weight: ``(classes,)`` class weights, or None.
        label_smoothing: Share of a target's probability that is spread evenly over the classes.
        focal_gamma: Exponent gamma of the focal factor ``(1 - p)^gamma``, where p is the
            probability of the true class; with 0 the factor is 1.
    """

    def __init__(
        self, weight: torch.Tensor | None, *, label_smoothing: float, focal_gamma: float
    ) -> None:
        super().__init__()
        self._weight: torch.Tensor | None
        self.register_buffer("_weight", weight)
        self._label_smoothing, self._gamma = label_smoothing, focal_gamma

    @classmethod
    def of(cls, params: TrialParams, labels: np.ndarray, num_classes: int) -> Self:
        """Loss of a trial, with class weights computed from the ``(n,)`` training labels."""
        counts = np.maximum(np.bincount(labels, minlength=num_classes), 1)
        weight = None
        if params.balance == "weighted":
            weight = torch.tensor(len(labels) / (num_classes * counts)).float()
        elif params.balance == "effective":
            rarity = (1 - BETA) / (1 - BETA**counts)
            weight = torch.tensor(rarity * num_classes / rarity.sum()).float()
        return cls(weight, label_smoothing=params.label_smoothing, focal_gamma=params.focal_gamma)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the losses of ``(n, classes)`` logits; divide it by `weight_sum` for the mean."""
        losses = functional.cross_entropy(
            logits,
            labels,
            self._weight,
            reduction="none",
            label_smoothing=self._label_smoothing,
        )
        if self._gamma:
            true_class = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
            losses = (1 - true_class).clamp(min=1e-6) ** self._gamma * losses
        return losses.sum()

    def weight_sum(self, labels: torch.Tensor) -> torch.Tensor | int:
        """Divisor for a mean loss: sum of the images' class weights, or number of images."""
        return len(labels) if self._weight is None else self._weight[labels].sum()
