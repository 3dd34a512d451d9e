"""`PixelFormat`: the square input of a model, and how an image of any shape becomes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from spaces import Fit


@dataclass(frozen=True)
class PixelFormat:
    """Size, interpolation and fit of a model's input, ``side`` by ``side`` pixels."""

    side: int
    interpolation: str
    """timm's name: "bilinear", "bicubic", "lanczos" or "nearest"."""
    fit: Fit = "squash"
    """How an image that is not square becomes the square; see `spaces.TrialParams.fit`."""
    padding: tuple[int, ...] = ()
    """Red, green and blue of the bars of a letterbox; empty for the other fits, which have none."""

    @classmethod
    def of(cls, side: int, interpolation: str, fit: Fit, mean: Sequence[float]) -> Self:
        """Format of a model that subtracts ``mean`` from its input, for pixels in [0, 1].

        A letterbox is padded with the mean, as timm does, so that the bars are 0 to the model.
        """
        padding = tuple(round(255 * level) for level in mean) if fit == "letterbox" else ()
        return cls(side, interpolation, fit, padding)

    @property
    def bytes_per_image(self) -> int:
        """Bytes of one image, three channels of uint8."""
        return self.side**2 * 3

    @property
    def key(self) -> str:
        """Text that is equal for equal formats: part of the key that names a store's file.

        That of a squash has no fit, so that the files of earlier versions are still used.
        """
        key = f"PixelFormat(side={self.side}, interpolation={self.interpolation!r})"
        return key if self.fit == "squash" else f"{key} {self.fit} {self.padding}"

    def resize(self, image: Image.Image) -> np.ndarray:
        """Resize an RGB image to ``(side, side, 3)`` uint8.

        Equal to timm's evaluation transform with ``crop_pct=1`` and the ``crop_mode`` "squash",
        "border" (letterbox) or "center" (crop).
        """
        method = Image.Resampling[self.interpolation.upper()]
        if self.fit == "squash":
            return np.asarray(image.resize((self.side, self.side), method))
        if self.fit == "letterbox":
            scale = max(image.size) / self.side
            width, height = (max(1, round(length / scale)) for length in image.size)
            square = Image.new("RGB", (self.side, self.side), self.padding)
            place = ((self.side - width) // 2, (self.side - height) // 2)
            square.paste(image.resize((width, height), method), place)
            return np.asarray(square)
        short = min(image.size)
        width, height = (self.side * length // short for length in image.size)
        left, top = round((width - self.side) / 2), round((height - self.side) / 2)
        cropped = image.resize((width, height), method).crop(
            (left, top, left + self.side, top + self.side)
        )
        return np.asarray(cropped)
