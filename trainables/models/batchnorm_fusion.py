"""BatchNorm fusion: frozen BatchNorm merged into the convolution in front of it.

With frozen statistics, BatchNorm is an affine map of each channel. Merging it into the weight and
bias of the convolution saves one pass over memory: on a CPU, EfficientNets and MobileNets run 1.3
to 1.5 times as fast.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def find_fusable_pairs(module: fx.GraphModule, images: torch.Tensor) -> dict[str, str]:
    """Find convolutions whose output goes to one BatchNorm only.

    Returns the BatchNorm's name by the convolution's name. ``module`` must be in evaluation mode; a
    run on ``images``, ``(n, 3, h, w)``, shows which layer reads which tensor. Returns no pair if
    fusion would change the output by more than rounding, as with weight standardization.
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
        elif type(layer) in (nn.BatchNorm2d, BatchNormAct2d) and layer.track_running_stats:
            hooks.append(layer.register_forward_pre_hook(partial(record_input, name)))
    unfused = module(images)
    for hook in hooks:
        hook.remove()
    pairs = {
        convolution: batchnorm
        for convolution, produced in outputs.items()
        for batchnorm, consumed in inputs.items()
        if len(produced) == len(consumed) == 1 and produced[0] is consumed[0]
    }
    try:
        fused = fuse_batchnorms(module, pairs)(images)
    except AttributeError:  # model code reads BatchNorm attributes that a fused layer lacks
        return {}
    return pairs if _all_close(unfused, fused) else {}


def fuse_batchnorms(module: fx.GraphModule, pairs: Mapping[str, str]) -> fx.GraphModule:
    """Copy of ``module`` with the ``pairs`` of `find_fusable_pairs` fused; unchanged if none."""
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


def _all_close(expected: Any, actual: Any) -> bool:
    """Whether the tensors of two outputs are equal up to rounding."""
    pairs = [(a, b) for a, b in zip(expected, actual, strict=True) if isinstance(a, torch.Tensor)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
