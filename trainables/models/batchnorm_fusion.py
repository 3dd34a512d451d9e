"""BatchNorm that no longer learns, folded into the convolution in front of it.

It scales and shifts what a convolution gives by numbers that are fixed; the convolution can do so
by itself, and saves a pass over memory: on a CPU EfficientNets and MobileNets run 1.3 to 1.5 times
as fast.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def foldable(part: fx.GraphModule, images: torch.Tensor) -> dict[str, str]:
    """Names of convolutions of ``part``, which evaluates, and of the BatchNorm each alone feeds.

    Seen by running ``images``. Empty if `fold` would change what comes out, as it does where a
    convolution makes something else of its weights before it uses them.
    """
    outputs: dict[str, list[torch.Tensor]] = {}
    inputs: dict[str, list[torch.Tensor]] = {}

    def after(name: str, module: nn.Module, given: Any, output: torch.Tensor) -> None:
        outputs.setdefault(name, []).append(output)

    def before(name: str, module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        inputs.setdefault(name, []).append(given[0])

    hooks = []
    for name, module in part.named_modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(partial(after, name)))
        elif type(module) in (nn.BatchNorm2d, BatchNormAct2d) and module.track_running_stats:
            hooks.append(module.register_forward_pre_hook(partial(before, name)))
    plain = part(images)
    for hook in hooks:
        hook.remove()
    pairs = {
        convolution: batchnorm
        for convolution, gave in outputs.items()
        for batchnorm, took in inputs.items()
        if len(gave) == len(took) == 1 and gave[0] is took[0]
    }
    try:
        folded = fold(part, pairs)(images)
    except AttributeError:  # the model's own code reaches into its BatchNorms
        return {}
    return pairs if _alike(plain, folded) else {}


def fold(part: fx.GraphModule, pairs: Mapping[str, str]) -> fx.GraphModule:
    """A copy of ``part`` with the BatchNorms of `foldable` ``pairs`` folded."""
    if not pairs:
        return part
    folded = copy.deepcopy(part)
    for convolution_name, batchnorm_name in pairs.items():
        convolution: Any = part.get_submodule(convolution_name)
        batchnorm: Any = part.get_submodule(batchnorm_name)
        folded.set_submodule(convolution_name, fuse_conv_bn_eval(convolution, batchnorm))
        acts = isinstance(batchnorm, BatchNormAct2d)
        rest = [batchnorm.drop, batchnorm.act] if acts else []
        folded.set_submodule(batchnorm_name, nn.Sequential(*rest))
    return folded


def _alike(plain: Any, folded: Any) -> bool:
    """Whether two runs gave the same, as far as rounding goes."""
    pairs = [(a, b) for a, b in zip(plain, folded, strict=True) if isinstance(a, torch.Tensor)]
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max())) for a, b in pairs)
