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
from trainables.images import IMAGE_ERRORS, read_rgb, resize_square

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


@dataclass(frozen=True)
class Answers:
    """A model's answers to the files that could be read."""

    files: tuple[Path, ...]
    probabilities: np.ndarray
    """``(files, classes)`` float32, each row summing to 1."""
    unreadable: dict[Path, str]
    """The other files, and why."""


class Predictor:
    """Classifies image files with an export: its timm folder, else its ``.pt2``."""

    def __init__(self, spec: ModelSpec, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.spec = spec
        self._forward = forward

    @classmethod
    def load(cls, export: Path) -> Self:
        """Open an export folder, or a ``.pt2`` file. Raises `ConfigError` if it is neither."""
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
        program = export if export.suffix == ".pt2" else export / "model.pt2"
        if program.is_file():
            extra = {SIDECAR: ""}
            module = torch.export.load(program, extra_files=extra).module()
            return cls(ModelSpec.from_json(extra[SIDECAR]), module)
        if not export.exists():
            raise ConfigError(f"The export {export} does not exist; give the folder of one.")
        raise ConfigError(
            f"{export} holds no model.safetensors with config.json and no model.pt2, the formats "
            "that predict opens; give the export folder of a sweep."
        )

    def answers(self, files: Sequence[Path]) -> Answers:
        """Classify what can be read, each file opened once."""
        read: list[Path] = []
        unreadable: dict[Path, str] = {}
        parts = [np.empty((0, len(self.spec.labels)), np.float32)]
        for start in range(0, len(files), BATCH):
            images = []
            for file in files[start : start + BATCH]:
                try:
                    images.append(read_rgb(file, side=self.spec.image_size))
                    read.append(file)
                except IMAGE_ERRORS as error:
                    unreadable[file] = str(error) or type(error).__name__
            if images:
                parts.append(self._logits(images))
        probabilities = np.asarray(softmax(np.concatenate(parts), axis=1))
        return Answers(tuple(read), probabilities, unreadable)

    def logits(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32. Raises one of `trainables.images.IMAGE_ERRORS`."""
        batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
        side = self.spec.image_size
        return np.concatenate(
            [self._logits([read_rgb(file, side=side) for file in batch]) for batch in batches]
        )

    def _logits(self, images: Sequence[Image.Image]) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(self._forward(self.spec.preprocess(images)).numpy())

    def probabilities(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32, each row summing to 1."""
        return np.asarray(softmax(self.logits(files), axis=1))
