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


def find_fusable_pairs(module: fx.GraphModule, images: torch.Tensor) -> dict[str, str]:
    """Find pairs of a convolution and the BatchNorm that reads its output.

    Returns a dict from the convolution's name to the BatchNorm's name. To find the pairs, runs
    ``module`` on ``(n, 3, h, w)`` ``images``. ``module`` must be in evaluation mode. The dict is
    empty if the fusion would change the output of ``module`` by more than rounding, as it does
    where another layer also reads the convolution's output, or with weight standardization.
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
    except AttributeError:  # the model's code reads attributes of a BatchNorm that was fused away
        return {}
    return pairs if _all_close(unfused, fused) else {}


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


def _all_close(expected: Any, actual: Any) -> bool:
    """Whether the tensors of two outputs are equal up to rounding."""
    pairs = [(a, b) for a, b in zip(expected, actual, strict=True) if isinstance(a, torch.Tensor)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
