"""`Predictor`: an exported model and its answers. Needs neither Ray nor the sweep."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import timm
import torch
from PIL import Image
from scipy.special import softmax

from spaces import ConfigError
from trainables.images import read_rgb, resize_square

SIDECAR = "finesweep.json"
"""Name of the `ModelSpec` inside a ``.pt2`` archive and of the ONNX metadata entry."""

BATCH = 32


@dataclass(frozen=True)
class ModelSpec:
    """What must be known beside the weights to use a model."""

    labels: tuple[str, ...]
    image_size: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def to_json(self) -> str:
        """For inside an exported file."""
        return json.dumps(vars(self), ensure_ascii=False)

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
        )

    def preprocess(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """RGB images to ``(n, 3, image_size, image_size)`` float32, normalised."""
        squares = [resize_square(i, self.image_size, self.interpolation) for i in images]
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return (pixels - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


class Predictor:
    """Classifies image files with an export: its timm folder, else its ``.pt2``."""

    def __init__(self, spec: ModelSpec, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.spec = spec
        self._forward = forward

    @classmethod
    def load(cls, export: Path) -> Self:
        """Open an export folder. Raises `ConfigError` if there is no model in it."""
        if (export / "config.json").is_file() and (export / "model.safetensors").is_file():
            model = timm.create_model(f"local-dir:{export}", pretrained=True).eval()
            cfg = model.pretrained_cfg
            spec = ModelSpec(
                labels=tuple(cfg["label_names"]),
                image_size=cfg["input_size"][-1],
                interpolation=cfg["interpolation"],
                mean=tuple(cfg["mean"]),
                std=tuple(cfg["std"]),
            )
            return cls(spec, model)
        if (export / "model.pt2").is_file():
            extra = {SIDECAR: ""}
            module = torch.export.load(export / "model.pt2", extra_files=extra).module()
            return cls(ModelSpec.from_json(extra[SIDECAR]), module)
        raise ConfigError(
            f"{export} holds no model.safetensors with config.json and no model.pt2, the formats "
            "that predict opens; give the export folder of a sweep."
        )

    def logits(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32. Raises one of `trainables.images.IMAGE_ERRORS`."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(files), BATCH):
                batch = self.spec.preprocess([read_rgb(f) for f in files[start : start + BATCH]])
                parts.append(self._forward(batch).numpy())
        return np.concatenate(parts)

    def probabilities(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32, each row summing to 1."""
        return np.asarray(softmax(self.logits(files), axis=1))
