"""`Predictor`: an exported model that classifies image files. Needs neither Ray nor the sweep."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import timm
import torch
from PIL import Image
from scipy.special import softmax
from torch import nn

from spaces import ConfigError
from trainables.data import IMAGE_ERRORS, describe_image_error, read_rgb
from trainables.inference.grad_cam import grad_cam_maps, overlay_heatmap
from trainables.inference.model_spec import SIDECAR, SPEC, ModelSpec
from trainables.progress import Progress, ignore_progress

BATCH_SIZE = 32
"""Number of images that are classified at a time."""


@dataclass(frozen=True)
class FilePredictions:
    """Predicted probabilities of the image files that could be read."""

    files: tuple[Path, ...]
    """Files that could be read, in the given order."""
    probabilities: np.ndarray
    """``(files, classes)`` float32, each row summing to 1."""
    unreadable: dict[Path, str]
    """Reason why a file could not be read, by file."""


class Predictor:
    """Exported model that classifies image files.

    Args:
        spec: Labels, preprocessing and decision rule.
        forward: Maps ``(n, 3, image_size, image_size)`` float32 images to ``(n, classes)`` logits.
        model: The timm model, if the export contains it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        forward: Callable[[torch.Tensor], np.ndarray],
        model: nn.Module | None = None,
    ) -> None:
        self.spec = spec
        self.model = model
        self._forward = forward

    @classmethod
    def load(cls, export: Path) -> Self:
        """Open an export folder, a ``.pt2`` or an ``.onnx`` file.

        A folder is opened as a timm model if it holds one, else by its ``model.pt2``, else by its
        ``model.onnx``. Raises `ConfigError` if it holds none of them.
        """
        if (export / "config.json").is_file() and (export / "model.safetensors").is_file():
            return cls._load_timm(export)
        for name, open_file in (("model.pt2", cls._load_program), ("model.onnx", cls._load_onnx)):
            file = export if export.suffix == Path(name).suffix else export / name
            if file.is_file():
                return open_file(file)
        if not export.exists():
            raise ConfigError(f"The export {export} does not exist; give an export folder.")
        inside = export / "export"
        hint = f"give {inside}" if inside.is_dir() else "give the export folder of a sweep"
        raise ConfigError(
            f"{export} is not an export that predict can open (a folder with config.json and "
            f"model.safetensors, a .pt2 file or an .onnx file); {hint}."
        )

    @classmethod
    def _load_timm(cls, folder: Path) -> Self:
        file = folder / "config.json"
        entry = json.loads(file.read_text(encoding="utf-8")).get(SPEC)
        spec = ModelSpec.from_export(file, json.dumps(entry) if entry else "")
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        return cls(spec, lambda images: np.asarray(model(images).numpy()), model)

    @classmethod
    def _load_program(cls, file: Path) -> Self:
        extra = {SIDECAR: ""}
        module = torch.export.load(file, extra_files=extra).module()
        spec = ModelSpec.from_export(file, extra[SIDECAR])
        return cls(spec, lambda images: np.asarray(module(images).numpy()))

    @classmethod
    def _load_onnx(cls, file: Path) -> Self:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                f"{file} needs onnxruntime; pip install 'finesweep[onnx]' to open it."
            ) from None
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        spec = ModelSpec.from_export(file, metadata.get(SIDECAR, ""))
        return cls(
            spec, lambda images: np.asarray(session.run(None, {"images": images.numpy()})[0])
        )

    def predict(
        self, files: Sequence[Path], progress: Progress = ignore_progress
    ) -> FilePredictions:
        """Classify the files that can be read. Threads decode the next batch meanwhile."""
        read: list[Path] = []
        unreadable: dict[Path, str] = {}
        parts = [np.empty((0, len(self.spec.labels)), np.float32)]
        for batch in self._decoded_batches(files):
            images = [image for _, image in batch if isinstance(image, np.ndarray)]
            read += [file for file, image in batch if isinstance(image, np.ndarray)]
            unreadable |= {file: reason for file, reason in batch if isinstance(reason, str)}
            if images:
                parts.append(self._logits(images))
            progress("classifying images", len(read) + len(unreadable), len(files))
        probabilities = np.asarray(softmax(np.concatenate(parts), axis=1))
        return FilePredictions(tuple(read), probabilities, unreadable)

    def draw_grad_cams(
        self, predictions: FilePredictions, folder: Path, progress: Progress = ignore_progress
    ) -> None:
        """Write a picture of each classified file: the image beside its Grad-CAM heat map.

        A picture is named by the row in ``predictions`` and the image's file name. Needs `model`.
        Raises `ConfigError` if the model has no feature map.
        """
        assert self.model is not None, "Grad-CAM needs a timm model"
        folder.mkdir(parents=True, exist_ok=True)
        predicted = self.spec.predict_classes(predictions.probabilities)
        for start in range(0, len(predicted), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            files = predictions.files[batch]
            images = [self._read(file) for file in files]
            maps = grad_cam_maps(self.model, self.spec.normalise(images), predicted[batch])
            if maps is None:
                raise ConfigError(
                    "This model has no feature map, which Grad-CAM needs; leave --grad-cam out."
                )
            for row, (file, image) in enumerate(zip(files, images, strict=True), start=start):
                both = np.hstack([image, overlay_heatmap(image, maps[row - start])])
                Image.fromarray(both).save(folder / f"{row:06d}_{file.stem}.png")
            progress("drawing Grad-CAM", start + len(files), len(predicted))

    def logits(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32 logits of image files.

        Raises one of `trainables.data.IMAGE_ERRORS` if a file can't be read.
        """
        starts = range(0, len(files), BATCH_SIZE)
        batches = [files[start : start + BATCH_SIZE] for start in starts]
        return np.concatenate([self._logits([self._read(f) for f in batch]) for batch in batches])

    def probabilities(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32 probabilities, with the errors of `logits`."""
        return np.asarray(softmax(self.logits(files), axis=1))

    def _decoded_batches(
        self, files: Sequence[Path]
    ) -> Iterator[list[tuple[Path, np.ndarray | str]]]:
        """Batches of files, each with its resized image or the reason why it can't be read.

        The next batch is decoded in threads while the current one is in use.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            following: list[tuple[Path, Future[np.ndarray | str]]] = []
            for start in range(0, len(files) + BATCH_SIZE, BATCH_SIZE):
                current, batch = following, files[start : start + BATCH_SIZE]
                following = [(file, pool.submit(self._try_read, file)) for file in batch]
                if current:
                    yield [(file, image.result()) for file, image in current]

    def _try_read(self, file: Path) -> np.ndarray | str:
        """Resized image, or the reason why the file can't be read."""
        try:
            return self._read(file)
        except IMAGE_ERRORS as error:
            return describe_image_error(error)

    def _read(self, file: Path) -> np.ndarray:
        return self.spec.resize(read_rgb(file, side=self.spec.image_size))

    def _logits(self, resized: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return self._forward(self.spec.normalise(resized))
