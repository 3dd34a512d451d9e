"""What a model sees: its features of an image, and the places that speak for an answer."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainables.models import head_names

_AT_ONCE = 4
"""Images whose activations are kept together."""


class LogitsAndFeatures(nn.Module):
    """A model that gives ``(n, classes + d)``: its logits, and what its classifier sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._seen = torch.empty(0)
        classifier = model.get_submodule(head_names(model)[0])
        classifier.register_forward_pre_hook(self._see)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Of normalised images."""
        logits = self._model(images)
        return torch.cat([logits, self._seen.flatten(1)], dim=1)

    def _see(self, _module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        self._seen = given[0]


def grad_cam_maps(model: nn.Module, images: torch.Tensor, classes: np.ndarray) -> np.ndarray | None:
    """Grad-CAM (Selvaraju et al. 2017): how much each place of images speaks for a class of each.

    Of ``(n, 3, side, side)`` normalised images; returns ``(n, side, side)`` float32 in [0, 1], all
    zero where nothing does, or None for a model of timm without a stage of features in places. The
    last stage counts whose places the answer depends on: of a transformer that answers from its
    class token, the last block but one. Leaves ``model`` in eval mode, its parameters frozen.
    """
    model.eval().requires_grad_(False)
    parts = [
        _grad_cam(model, images[some], classes[some])
        for some in np.array_split(np.arange(len(images)), -(-len(images) // _AT_ONCE))
    ]
    found = [part for part in parts if part is not None]
    return np.concatenate(found) if len(found) == len(parts) else None


def _grad_cam(model: nn.Module, images: torch.Tensor, classes: np.ndarray) -> np.ndarray | None:
    stated: Any = model.feature_info
    stages = {name: module for name, module in model.named_modules() if _is_stage(name, stated)}
    made: dict[str, torch.Tensor | None] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _given, out, name=name: made.__setitem__(name, _first(out))
        )
        for name, module in stages.items()
    ]
    with torch.enable_grad():
        logits = model(images.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    chosen = logits[torch.arange(len(images)), torch.from_numpy(classes)].sum()
    for features in filter(torch.is_tensor, reversed(made.values())):
        (slope,) = torch.autograd.grad(chosen, features, retain_graph=True, allow_unused=True)
        at, slopes = _in_places(model, features.detach()), _in_places(model, slope)
        if at is not None and slopes is not None and slopes.any():
            return _grown((slopes.mean(dim=(1, 2), keepdim=True) * at).sum(dim=3), images.shape[-1])
    return None


def _is_stage(name: str, stated: Any) -> bool:
    return name in [stage["module"] for stage in stated]


def _first(out: Any) -> torch.Tensor | None:
    """A stage that passes on more than its features has these first, if it has them."""
    return out if isinstance(out, torch.Tensor | None) else _first(out[0])


def _in_places(model: nn.Module, features: torch.Tensor | None) -> torch.Tensor | None:
    """A stage's features as ``(n, rows, columns, channels)``, if they are in places at all."""
    if features is None or features.ndim not in (3, 4):
        return None
    if features.ndim == 4:
        last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return features if last else features.permute(0, 2, 3, 1)
    if math.isqrt(features.shape[1]) ** 2 != features.shape[1]:  # tokens of no place in front
        features = features[:, getattr(model, "num_prefix_tokens", 0) :]
    side = math.isqrt(features.shape[1])
    return features.reshape(len(features), side, side, -1) if side**2 == features.shape[1] else None


def _grown(speaks: torch.Tensor, side: int) -> np.ndarray:
    """What speaks for the class, of ``(n, rows, columns)``, as maps of an image's size."""
    speaks = speaks.relu()
    maps = speaks / speaks.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    size = (side, side)
    grown = functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)
    return np.asarray(grown[:, 0].numpy())


def overlay_heatmap(square: np.ndarray, found: np.ndarray) -> np.ndarray:
    """An image of ``(h, w, 3)`` uint8 under a map of `grad_cam_maps`: brighter, more said."""
    share = cv2.resize(found, square.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    heat = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    mixed = 0.7 * (1 - 0.6 * share) * square + 0.6 * share * heat
    return np.asarray(mixed.clip(0, 255).astype(np.uint8))
