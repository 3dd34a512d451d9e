"""`ModelSpec`: what must be known beside the weights to use a model."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image

from spaces import ConfigError, TrialParams
from trainables.data import resize_square
from trainables.evaluation import OperatingPoint
from trainables.models import Preprocessing

SPEC = "finesweep"
"""Key of the `ModelSpec` in a timm folder's ``config.json``."""


SIDECAR = "finesweep.json"
"""Name of the `ModelSpec` inside a ``.pt2`` archive and of the ONNX metadata entry."""


@dataclass(frozen=True)
class ModelSpec:
    """What must be known beside the weights to use a model."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    point: OperatingPoint | None = None
    """From when on one of two classes is answered; None is from the larger probability on."""

    @classmethod
    def of(
        cls, params: TrialParams, labels: Sequence[str], point: OperatingPoint | None = None
    ) -> Self:
        """Of a trial's model."""
        form = Preprocessing.of(params.backbone)
        seen = (params.image_size, form.interpolation, form.mean, form.std)
        return cls(tuple(labels), *seen, point)

    def to_json(self) -> str:
        """For inside an exported file."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(
            labels=tuple(values["labels"]),
            image_size=values["image_size"],
            interpolation=values["interpolation"],
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            point=OperatingPoint(**values["point"]) if values["point"] else None,
        )

    @classmethod
    def within(cls, file: Path, text: str) -> Self:
        """What ``file`` holds of one. Raises `ConfigError` for a file that is no export of ours."""
        if not text:
            raise ConfigError(
                f"{file} doesn't say its labels and preprocessing, as an export of Finesweep does; "
                "give one of those."
            )
        return cls.from_json(text)

    def answers(self, probabilities: np.ndarray) -> np.ndarray:
        """``(n,)`` class numbers for ``(n, classes)`` probabilities."""
        if self.point is None:
            return np.asarray(probabilities.argmax(axis=1))
        positive = self.labels.index(self.point.positive)
        found = probabilities[:, positive] >= self.point.threshold
        return np.where(found, positive, 1 - positive)

    def square(self, image: Image.Image) -> np.ndarray:
        """An RGB image as ``(image_size, image_size, 3)`` uint8."""
        return resize_square(image, self.image_size, self.interpolation)

    def normalise(self, squares: Sequence[np.ndarray]) -> torch.Tensor:
        """Squares as ``(n, 3, image_size, image_size)`` float32, as the model expects them."""
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)

    def preprocess(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB images as `normalise` gives them."""
        return self.normalise([self.square(image) for image in images])
