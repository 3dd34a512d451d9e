"""`Loss`: cross-entropy, and what is made of it for uneven classes."""

from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from spaces import TrialParams

BETA = 0.999
"""Of the effective number of images (Cui et al. 2019): more than about 1,000 hardly count."""


class Loss(nn.Module):
    """Cross-entropy with label smoothing, class weights and focusing (Lin et al. 2017, gamma)."""

    def __init__(
        self, weight: torch.Tensor | None, *, label_smoothing: float, focal_gamma: float
    ) -> None:
        super().__init__()
        self._weight: torch.Tensor | None
        self.register_buffer("_weight", weight)
        self._label_smoothing, self._gamma = label_smoothing, focal_gamma

    @classmethod
    def of(cls, params: TrialParams, labels: np.ndarray, num_classes: int) -> Self:
        """A trial's, by the training images' ``(n,)`` class numbers."""
        counts = np.maximum(np.bincount(labels, minlength=num_classes), 1)
        weight = None
        if params.balance == "weighted":
            weight = torch.tensor(len(labels) / (num_classes * counts)).float()
        elif params.balance == "effective":
            rarity = (1 - BETA) / (1 - BETA**counts)
            weight = torch.tensor(rarity * num_classes / rarity.sum()).float()
        return cls(weight, label_smoothing=params.label_smoothing, focal_gamma=params.focal_gamma)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The sum over ``(n, classes)`` logits; a mean divides it by `counted`."""
        losses = functional.cross_entropy(
            logits,
            labels,
            self._weight,
            reduction="none",
            label_smoothing=self._label_smoothing,
        )
        if self._gamma:
            sure = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
            losses = (1 - sure).clamp(min=1e-6) ** self._gamma * losses
        return losses.sum()

    def counted(self, labels: torch.Tensor) -> torch.Tensor | int:
        """How many images these are, or how much they weigh."""
        return len(labels) if self._weight is None else self._weight[labels].sum()
