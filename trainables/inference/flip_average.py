"""Flip averaging: a classifier's mean probabilities over an image and its mirror images."""

import math
from typing import Literal

import torch
from torch import nn

Flips = Literal["none", "horizontal", "both"]
"""Mirror images: none, left to right, or both left to right and (another one) top to bottom."""

_MIRRORED_AXES: dict[Flips, tuple[tuple[int, ...], ...]] = {
    "none": (),
    "horizontal": ((3,),),
    "both": ((3,), (2,)),
}
"""Axes of ``(n, 3, h, w)`` that are reversed in each mirror image."""


class FlipAverage(nn.Module):
    """Model that returns the logarithm of the mean probabilities over the views of an image.

    The softmax of this output gives the mean probabilities again. The views are the image itself
    and its mirror images; the model runs once for each.

    Args:
        model: Classifier.
        flips: Mirror images to average over.
    """

    def __init__(self, model: nn.Module, flips: Flips) -> None:
        super().__init__()
        self.model = model
        self._mirrored_axes = _MIRRORED_AXES[flips]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """``(n, classes)`` log-probabilities of ``(n, 3, h, w)`` normalised images."""
        views = [images, *(images.flip(axes) for axes in self._mirrored_axes)]
        logs = [self.model(view).log_softmax(dim=1) for view in views]
        return torch.logsumexp(torch.stack(logs), dim=0) - math.log(len(logs))


def passes_of(flips: Flips) -> int:
    """Number of times that an averaged model computes each image."""
    return 1 + len(_MIRRORED_AXES[flips])


def average_flips(model: nn.Module, flips: Flips) -> nn.Module:
    """`FlipAverage` of a ``model``; the model itself if ``flips`` is "none"."""
    return model if flips == "none" else FlipAverage(model, flips).eval()
