"""`Ensemble`: several classifiers as one model."""

from collections.abc import Sequence

import torch
from torch import nn


class Ensemble(nn.Module):
    """Answers with the logarithm of its members' mean probabilities; softmax gives that mean."""

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float]) -> None:
        """``weights`` sum to 1."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.logs: torch.Tensor
        self.register_buffer("logs", torch.tensor(weights).log().view(-1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(n, 3, h, w)`` images, normalised as every member wants them, to ``(n, classes)``."""
        told = torch.stack([member(images).log_softmax(dim=1) for member in self.members])
        return torch.logsumexp(told + self.logs, dim=0)
