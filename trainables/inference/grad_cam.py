"""Explanations of a prediction: the classifier's input features, and Grad-CAM heat maps."""

import math
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainables.models import head_names

_BATCH_SIZE = 4
"""Number of images whose activations are in memory at the same time."""


class LogitsAndFeatures(nn.Module):
    """``model`` with ``(n, classes + d)`` outputs: logits, and the d inputs of its classifier."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._features = torch.empty(0)
        classifier = model.get_submodule(head_names(model)[0])
        classifier.register_forward_pre_hook(self._keep_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits and features of ``(n, 3, h, w)`` normalised images, side by side."""
        logits = self._model(images)
        return torch.cat([logits, self._features.flatten(1)], dim=1)

    def _keep_features(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._features = inputs[0]


def grad_cam_maps(model: nn.Module, images: torch.Tensor, classes: np.ndarray) -> np.ndarray | None:
    """Grad-CAM (Selvaraju et al. 2017): how much each location supports a class, for each image.

    Uses the last stage whose locations influence the logits. In a transformer that classifies by
    its class token, this is the last block but one. Leaves ``model`` in eval mode, and all its
    parameters frozen.

    Args:
        model: A timm model.
        images: ``(n, 3, side, side)``, normalised.
        classes: ``(n,)`` class number to explain, for each image.

    Returns:
        ``(n, side, side)`` float32 in [0, 1], 0 where nothing supports the class; None if no
        stage of the model has a feature map.
    """
    model.eval().requires_grad_(False)
    parts = [
        _grad_cam(model, images[part], classes[part])
        for part in np.array_split(np.arange(len(images)), -(-len(images) // _BATCH_SIZE))
    ]
    maps = [part for part in parts if part is not None]
    return np.concatenate(maps) if len(maps) == len(parts) else None


def _grad_cam(model: nn.Module, images: torch.Tensor, classes: np.ndarray) -> np.ndarray | None:
    # 1. Run the model, keeping the output of every stage.
    stage_info: Any = model.feature_info
    channels = {stage["module"]: stage["num_chs"] for stage in stage_info}
    stages = {name: module for name, module in model.named_modules() if name in channels}
    outputs: dict[str, torch.Tensor | None] = {}
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.__setitem__(
                name, _first_tensor(output)
            )
        )
        for name, module in stages.items()
    ]
    with torch.enable_grad():
        logits = model(images.clone().requires_grad_())
    for hook in hooks:
        hook.remove()
    # 2. Weight the channels of the last suitable stage by their mean gradients.
    explained = logits[torch.arange(len(images)), torch.from_numpy(classes)].sum()
    for name, output in reversed(outputs.items()):
        if output is None or len(output) != len(images):  # such as the pixels of each patch
            continue
        (gradient,) = torch.autograd.grad(explained, output, retain_graph=True, allow_unused=True)
        features, gradients = (
            _as_map(model, each, channels[name]) for each in (output.detach(), gradient)
        )
        if features is not None and gradients is not None and gradients.any():
            weights = gradients.mean(dim=(1, 2), keepdim=True)
            return _upsample((weights * features).sum(dim=3), images.shape[-1])
    return None


def _first_tensor(output: Any) -> torch.Tensor | None:
    """Features in a stage's output: the first value if the stage returns several."""
    return output if isinstance(output, torch.Tensor | None) else _first_tensor(output[0])


def _as_map(model: nn.Module, features: torch.Tensor | None, channels: int) -> torch.Tensor | None:
    """``(n, rows, columns, channels)`` from a stage's features; None if they form no map."""
    if features is None or features.ndim not in (3, 4):
        return None
    if features.ndim == 4:
        is_first, is_last = (features.shape[axis] == channels for axis in (1, 3))
        if is_first == is_last:  # the numbers do not tell
            is_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
        return features if is_last else features.permute(0, 2, 3, 1)
    if math.isqrt(features.shape[1]) ** 2 != features.shape[1]:  # class tokens in front
        features = features[:, getattr(model, "num_prefix_tokens", 0) :]
    side = math.isqrt(features.shape[1])
    return features.reshape(len(features), side, side, -1) if side**2 == features.shape[1] else None


def _upsample(support: torch.Tensor, side: int) -> np.ndarray:
    """``(n, side, side)`` maps in [0, 1] from ``(n, rows, columns)``; negatives become 0."""
    support = support.relu()
    maps = support / support.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    size = (side, side)
    resized = functional.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)
    return np.asarray(resized[:, 0].numpy())


def overlay_heatmap(image: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Overlay a map of `grad_cam_maps` on an ``(h, w, 3)`` uint8 image.

    Brighter colours mean stronger support.
    """
    share = cv2.resize(support, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    heat = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    mixed = 0.7 * (1 - 0.6 * share) * image + 0.6 * share * heat
    return np.asarray(mixed.clip(0, 255).astype(np.uint8))
