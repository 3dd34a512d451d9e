"""`ModelSpec`: labels, preprocessing and decision rule of an exported model."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter

from spaces import ConfigError, Fit, TrialParams
from trainables.evaluation import OperatingPoint
from trainables.images import PixelFormat
from trainables.inference.flip_average import Flips
from trainables.models import Preprocessing

SPEC = "finesweep"
"""Key of the `ModelSpec` in a timm folder's ``config.json``."""
SIDECAR = "finesweep.json"
"""Name under which a ``.pt2`` archive (as a file) and ONNX metadata hold the `ModelSpec`."""


@dataclass(frozen=True)
class ModelSpec:
    """Labels, preprocessing and decision rule: all that inference needs besides the weights."""

    labels: tuple[str, ...]
    """Class names, in the order of the outputs."""
    image_size: int
    """Side of the square input in pixels."""
    interpolation: str
    """Name of the interpolation for resizing images."""
    mean: tuple[float, float, float]
    """Mean of each channel, for pixels in [0, 1]."""
    std: tuple[float, float, float]
    """Standard deviation of each channel, for pixels in [0, 1]."""
    point: OperatingPoint | None = None
    """Decision threshold for two classes; None predicts the class of the largest probability."""
    fit: Fit = "squash"
    """How an image becomes the square; the exports of earlier versions, which lack it, squash."""
    flips: Flips = "none"
    """Mirror images whose probabilities are averaged with those of the image. ONNX and ``.pt2``
    files do so themselves; for the timm folder, `Predictor` does."""

    @classmethod
    def of(
        cls,
        params: TrialParams,
        labels: Sequence[str],
        point: OperatingPoint | None = None,
        flips: Flips = "none",
    ) -> Self:
        """Spec of a trial's model."""
        expected = Preprocessing.of(params.backbone)
        return cls(
            labels=tuple(labels),
            image_size=params.image_size,
            interpolation=expected.interpolation,
            mean=expected.mean,
            std=expected.std,
            point=point,
            fit=params.fit,
            flips=flips,
        )

    def to_json(self) -> str:
        """JSON that exported files hold."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the JSON of `to_json`."""
        return TypeAdapter(cls).validate_json(text)

    @classmethod
    def from_export(cls, file: Path, text: str) -> Self:
        """Parse the JSON ``text`` from an export ``file``.

        Raises `ConfigError` if ``text`` is empty, because Finesweep did not export such a file.
        """
        if not text:
            raise ConfigError(
                f"{file} lacks the labels and preprocessing that Finesweep stores in an export; "
                "give a model that Finesweep exported."
            )
        return cls.from_json(text)

    def predict_classes(self, probabilities: np.ndarray) -> np.ndarray:
        """``(n,)`` class numbers predicted from ``(n, classes)`` probabilities."""
        if self.point is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = self.labels.index(self.point.positive)
        is_positive = probabilities[:, positive] >= self.point.threshold
        return np.where(is_positive, positive, 1 - positive)

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the pixels that `normalise` takes."""
        return PixelFormat.of(self.image_size, self.interpolation, self.fit, self.mean)

    def normalise(self, resized: Sequence[np.ndarray]) -> torch.Tensor:
        """``(n, 3, image_size, image_size)`` float32 input of the model, from resized images."""
        pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)

    def preprocess(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Input of the model for RGB images: resized and normalised."""
        return self.normalise([self.pixel_format.resize(image) for image in images])
