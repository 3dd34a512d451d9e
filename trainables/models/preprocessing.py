"""`Preprocessing`: the input that a timm backbone expects, and how to make it from pixels."""

from dataclasses import dataclass

import timm
import torch
from timm.data.config import resolve_data_config

from spaces import Fit
from trainables.images import PixelFormat
from trainables.models.weights import check_backbone


@dataclass(frozen=True)
class Preprocessing:
    """Input size, resampling and normalisation of a backbone, from timm's configuration."""

    image_size: int
    """Side of the native square input in pixels."""
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fixed_input_size: bool
    """Whether the architecture depends on the image size. If so, timm needs it as ``img_size``."""

    @classmethod
    def of(cls, backbone: str) -> "Preprocessing":
        """Preprocessing of a timm backbone. Raises `WeightsError` if timm lacks the backbone."""
        check_backbone(backbone)
        cfg = timm.get_pretrained_cfg(backbone)
        data = resolve_data_config(pretrained_cfg=vars(cfg) if cfg else {"num_classes": 1000})
        method = data["interpolation"] if data["interpolation"] != "random" else "bilinear"
        fixed = bool(cfg and cfg.fixed_input_size)
        return cls(max(data["input_size"][1:]), method, data["mean"], data["std"], fixed)

    def pixel_format(self, image_size: int, fit: Fit) -> PixelFormat:
        """Format of the `PixelStore` that serves this backbone at ``image_size`` pixels."""
        return PixelFormat.of(image_size, self.interpolation, fit, self.mean)


def normalise(images: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Normalise ``(n, 3, h, w)`` uint8 images; returns float32, channels last in memory.

    Computes ``(x / 255 - mean) / std`` on whole rows of pixels, because torch takes four times as
    long to broadcast along three channels.
    """
    n, channels, height, width = images.shape
    mean = torch.tensor(preprocessing.mean).to(images.device, non_blocking=True)
    std = torch.tensor(preprocessing.std).to(images.device, non_blocking=True)
    rows = images.permute(0, 2, 3, 1).reshape(n * height, width * channels).float()
    rows.mul_((1 / (255 * std)).repeat(width)).sub_((mean / std).repeat(width))
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)
