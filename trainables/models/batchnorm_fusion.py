"""BatchNorm fusion: frozen BatchNorm merged into the convolution in front of it.

With frozen statistics, BatchNorm is an affine map of each channel. Merging it into the weight and
bias of the convolution saves one pass over memory: it makes EfficientNets and MobileNets on a CPU
1.3 to 1.5 times as fast.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from trainables.models.backbone import random_head
from trainables.models.precision import without_tf32


def find_fusable_pairs(module: fx.GraphModule, images: torch.Tensor) -> dict[str, str]:
    """Find pairs of a convolution and the BatchNorm that reads its output.

    Returns a dict from the convolution's name to the BatchNorm's name. To find the pairs, runs
    ``module`` on ``(n, 3, h, w)`` ``images``. ``module`` must be in evaluation mode. The dict is
    empty if the fusion would change the output of ``module`` by more than rounding, as it does
    where another layer also reads the convolution's output, or with weight standardization.
    """
    unfused, pairs = _connected_pairs(module, images)
    try:
        fused = fuse_batchnorms(module, pairs)(images)
    except AttributeError:  # the model's code reads attributes of a BatchNorm that was fused away
        return {}
    return pairs if _all_close(unfused, fused) else {}


def _connected_pairs(module: nn.Module, images: torch.Tensor) -> tuple[Any, dict[str, str]]:
    """Output of ``module``, and which convolution's output each BatchNorm reads.

    Layers that run more than once are left out.
    """
    outputs: dict[str, list[torch.Tensor]] = {}
    inputs: dict[str, list[torch.Tensor]] = {}

    def record_output(
        name: str, layer: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor
    ) -> None:
        outputs.setdefault(name, []).append(output)

    def record_input(name: str, layer: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.setdefault(name, []).append(arguments[0])

    hooks = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(partial(record_output, name)))
        elif type(layer) in _MERGED and layer.track_running_stats:
            hooks.append(layer.register_forward_pre_hook(partial(record_input, name)))
    output = module(images)
    for hook in hooks:
        hook.remove()
    return output, {
        convolution: batchnorm
        for convolution, produced in outputs.items()
        for batchnorm, consumed in inputs.items()
        if len(produced) == len(consumed) == 1 and produced[0] is consumed[0]
    }


def fuse_batchnorms(module: fx.GraphModule, pairs: Mapping[str, str]) -> fx.GraphModule:
    """Copy of ``module`` with the ``pairs`` fused, or ``module`` itself if there are no pairs."""
    if not pairs:
        return module
    fused = copy.deepcopy(module)
    for convolution_name, batchnorm_name in pairs.items():
        convolution: Any = module.get_submodule(convolution_name)
        batchnorm: Any = module.get_submodule(batchnorm_name)
        fused.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, batchnorm))
        has_activation = isinstance(batchnorm, BatchNormAct2d)
        remaining = [batchnorm.drop, batchnorm.act] if has_activation else []
        fused.set_submodule(batchnorm_name, nn.Sequential(*remaining))
    return fused


def merge_frozen_batchnorms(
    model: nn.Module, images: torch.Tensor, *, prefix: nn.Module | None = None
) -> None:
    """Merge frozen BatchNorms into convolutions that train, in place; gradients stay the same.

    In every pass, weight and bias of a convolution are computed from its own parameters and those
    of its BatchNorm, so the parameters of both train as before, under their own names. On a CPU, a
    step of an EfficientNet or MobileNet takes 9 to 14% less time than with batch statistics, and an
    evaluation 9 to 12%. A ResNet gains nothing.

    Nothing changes if the merged model would give other logits than ``model`` by more than
    rounding. Only for a model whose BatchNorms stay in evaluation mode.

    Args:
        model: Model to change.
        images: ``(n, 3, h, w)`` images, to find which BatchNorm reads which convolution.
        prefix: Part of the model that is fused already, and is left as it is.
    """
    fused = {id(module) for module in prefix.modules()} if prefix else set()
    layers = dict(model.named_modules())
    if all(id(layer) in fused for layer in layers.values() if type(layer) in _MERGED):
        return
    was_training = {name: layer.training for name, layer in layers.items()}
    model.eval()
    with torch.no_grad(), without_tf32(), random_head(model):
        before, pairs = _connected_pairs(model, images)
        names = [p for p in pairs.items() if fused.isdisjoint(id(layers[name]) for name in p)]
        merged: list[tuple[Any, Any]] = [(layers[c], layers[b]) for c, b in names]
        classes = [(type(convolution), type(batchnorm)) for convolution, batchnorm in merged]
        for convolution, batchnorm in merged:
            convolution.__dict__["batchnorm"] = batchnorm  # a reference, not a submodule
            convolution.__class__ = _merged_class(type(convolution))
            batchnorm.__class__ = _MERGED[type(batchnorm)]
        if not _all_close((before,), (model(images),)):
            for (convolution, batchnorm), (first, second) in zip(merged, classes, strict=True):
                del convolution.__dict__["batchnorm"]
                convolution.__class__, batchnorm.__class__ = first, second
    for name, layer in layers.items():
        layer.training = was_training[name]


class _MergedConvolution:
    """Convolution whose weight and bias contain the BatchNorm behind it; a mix-in."""

    batchnorm: nn.BatchNorm2d
    _parameters: dict[str, torch.Tensor | None]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve and normalise ``(n, c, h, w)`` feature maps."""
        own, norm = dict(self._parameters), self.batchnorm
        assert norm.running_var is not None and norm.running_mean is not None
        weight, bias = own["weight"], own["bias"]
        assert weight is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        scale = scale if norm.weight is None else scale * norm.weight
        shift = -norm.running_mean if bias is None else bias - norm.running_mean
        shift = shift * scale if norm.bias is None else torch.addcmul(norm.bias, shift, scale)
        self._parameters.update(weight=weight * scale.view(-1, 1, 1, 1), bias=shift)
        try:
            output: torch.Tensor = super().forward(input)  # type: ignore[misc]
        finally:
            self._parameters.update(own)
        return output


def _merged_class(convolution: Any) -> Any:
    """Class of a convolution that is merged with its BatchNorm."""
    return type(f"Merged{convolution.__name__}", (_MergedConvolution, convolution), {})


class _MergedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm whose convolution does its work."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the input."""
        return input


class _MergedBatchNormAct2d(BatchNormAct2d):  # type: ignore[misc]
    """timm's BatchNorm with activation, whose convolution does the BatchNorm's work."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply dropout and activation alone."""
        activated: torch.Tensor = self.act(self.drop(x))
        return activated


_MERGED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm2d: _MergedBatchNorm2d,
    BatchNormAct2d: _MergedBatchNormAct2d,
}
"""Kinds of BatchNorm that can be fused, and what is left of each."""


def _all_close(expected: Any, actual: Any) -> bool:
    """Whether the tensors of two outputs are equal up to rounding."""
    pairs = [(a, b) for a, b in zip(expected, actual, strict=True) if isinstance(a, torch.Tensor)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
