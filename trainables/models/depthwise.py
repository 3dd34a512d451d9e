"""Fast weight gradient of depthwise convolutions on small feature maps.

If the map is no larger than the kernel, oneDNN on a CPU takes 10 to 17 times as long for this
gradient as the sum of products that this module computes. On small images, the last blocks of
EfficientNets, MobileNets and ConvNeXts spend a third of their training time in that part of oneDNN.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution of stride 1 with the same output and gradients as `nn.Conv2d`.

    Computes the fast gradient for feature maps no larger than the kernel. Uses torch's own code for
    larger maps, for frozen weights and under autocast.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve ``(n, c, h, w)`` feature maps, whose shape stays the same."""
        small = max(input.shape[2:]) <= min(self.kernel_size)
        needs_gradient = torch.is_grad_enabled() and self.weight.requires_grad
        if not (small and needs_gradient) or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        output: torch.Tensor = _DepthwiseFunction.apply(input, self.weight)
        return output if self.bias is None else output + self.bias.view(-1, 1, 1)


def use_fast_depthwise(model: nn.Module) -> None:
    """Replace the eligible convolutions of a CPU ``model`` by `DepthwiseConv2d`, in place."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_eligible(module):
            module.__class__ = DepthwiseConv2d


def _is_eligible(module: nn.Conv2d) -> bool:
    """Whether a convolution is depthwise, keeps the map's size and has an odd square kernel."""
    height, width = module.kernel_size
    return (
        module.groups == module.in_channels == module.out_channels > 1
        and height == width
        and height % 2 == 1
        and module.padding == (height // 2, height // 2)
        and module.stride == module.dilation == (1, 1)
        and module.padding_mode == "zeros"
    )


class _DepthwiseFunction(torch.autograd.Function):
    """Convolution of ``(n, c, h, w)`` images with a ``(c, 1, k, k)`` weight."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(images, weight)
        return F.conv2d(images, weight, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor]:
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        radius = weight.shape[-1] // 2
        image_gradient = None
        if ctx.needs_input_grad[0]:
            input_gradient: Any = conv2d_input  # torch leaves it without types
            image_gradient = input_gradient(
                images.shape, weight, gradient, padding=radius, groups=len(weight)
            )
        weight_gradient = torch.zeros_like(weight)
        height, width = images.shape[2:]
        for y, (output_y, input_y) in _overlaps(height, radius):
            for x, (output_x, input_x) in _overlaps(width, radius):
                products = gradient[:, :, output_y, output_x] * images[:, :, input_y, input_x]
                weight_gradient[:, 0, y, x] = products.sum(dim=(0, 2, 3))
        return image_gradient, weight_gradient


def _overlaps(side: int, radius: int) -> list[tuple[int, tuple[slice, slice]]]:
    """Which input pixels each kernel position connects to which output pixels, in one dimension.

    Each item is ``(position, (output slice, input slice))`` with positions from 0 to
    ``2 * radius``. ``side`` is the size of the map. Positions that connect no pixels are left out.
    """
    shifts = range(max(-radius, 1 - side), min(radius, side - 1) + 1)
    return [
        (
            radius + shift,
            (
                slice(max(0, -shift), side - max(0, shift)),
                slice(max(0, shift), side - max(0, -shift)),
            ),
        )
        for shift in shifts
    ]
