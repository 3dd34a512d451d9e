"""`Ensemble`: several classifiers as one model."""

from collections.abc import Sequence

import torch
from torch import nn


class Ensemble(nn.Module):
    """Model that returns the logarithm of the weighted mean of its members' probabilities.

    The softmax of this output gives the mean probabilities again.

    Args:
        members: Classifiers of the same classes and the same preprocessing.
        weights: Weight of each member; the weights sum to 1.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.logs: torch.Tensor
        self.register_buffer("logs", torch.tensor(weights).log().view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(n, classes)`` log-probabilities of ``(n, 3, h, w)`` normalised images."""
        by_member = torch.stack([member(images).log_softmax(dim=1) for member in self.members])
        return torch.logsumexp(by_member + self.logs, dim=0)
