"""`Predictor`: an exported model that classifies image files. Needs neither Ray nor the sweep."""

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import timm
import torch
from PIL import Image
from scipy.special import softmax
from torch import nn

from spaces import ConfigError, RunError
from spaces.errors import first_line
from trainables.images import IMAGE_ERRORS, describe_image_error, read_rgb
from trainables.inference.flip_average import average_flips
from trainables.inference.grad_cam import grad_cam_maps, overlay_heatmap
from trainables.inference.model_spec import SIDECAR, SPEC, ModelSpec
from trainables.process_limits import available_cpus
from trainables.progress import Progress, ignore_progress

BATCH_SIZE = 32
"""Number of images that are classified at a time."""
_MAX_NAME_BYTES = 200
"""Most bytes of an image's name in that of its picture; a file system allows 255 in all."""


@dataclass(frozen=True)
class FileOutcome:
    """Whether a file has a prediction, and if not, why."""

    path: Path
    status: Literal["ok", "missing", "unreadable"]
    reason: str = ""
    """Reason why there is no prediction; empty if there is one."""


@dataclass(frozen=True)
class FilePredictions:
    """Predicted probabilities of image files, and an outcome for every file."""

    outcomes: tuple[FileOutcome, ...]
    """One for each file, in the given order."""
    probabilities: np.ndarray
    """``(n, classes)`` float32 of the n files that could be read, each row summing to 1."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that could be read, in the given order: the rows of ``probabilities``."""
        return tuple(outcome.path for outcome in self.outcomes if outcome.status == "ok")


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Turn whatever a library raises about an export's ``file`` into a `RunError` that names it."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise RunError(
            f"{file} can't be opened ({first_line(error)}), as if it were damaged or only a part; "
            "copy it again, or write the export anew with 'finesweep export'."
        ) from error


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
        self.forward = forward

    @classmethod
    def load(cls, export: Path) -> Self:
        """Open an export folder, a ``.pt2`` or an ``.onnx`` file.

        A folder is opened as a timm model if it holds one, else by its ``model.pt2``, else by its
        ``model.onnx``. Raises `ConfigError` if it holds none of them, and `RunError` if the file
        is damaged.
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
        with _damage_named(file):
            entry = json.loads(file.read_text(encoding="utf-8")).get(SPEC)
            spec = ModelSpec.from_export(file, json.dumps(entry) if entry else "")
        with _damage_named(folder / "model.safetensors"):
            model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        averaged = average_flips(model, spec.flips)
        return cls(spec, lambda images: np.asarray(averaged(images).numpy()), model)

    @classmethod
    def _load_program(cls, file: Path) -> Self:
        extra = {SIDECAR: ""}
        with _damage_named(file):
            zipfile.ZipFile(file).close()  # torch would log a traceback of a file that is cut
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
        with _damage_named(file):
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            metadata = session.get_modelmeta().custom_metadata_map
            spec = ModelSpec.from_export(file, metadata.get(SIDECAR, ""))
        return cls(
            spec, lambda images: np.asarray(session.run(None, {"images": images.numpy()})[0])
        )

    def predict(
        self, files: Sequence[Path], progress: Progress = ignore_progress
    ) -> FilePredictions:
        """Classify the files that can be read. Threads decode the next batch meanwhile.

        Never fails because of a file: each has its outcome.
        """
        outcomes: list[FileOutcome] = []
        parts = [np.empty((0, len(self.spec.labels)), np.float32)]
        for batch in self._decoded_batches(files):
            images = [image for _, image in batch if image is not None]
            outcomes += [outcome for outcome, _ in batch]
            if images:
                parts.append(self._logits(images))
            progress("classifying images", len(outcomes), len(files))
        probabilities = np.asarray(softmax(np.concatenate(parts), axis=1))
        return FilePredictions(tuple(outcomes), probabilities)

    def draw_grad_cams(
        self, predictions: FilePredictions, folder: Path, progress: Progress = ignore_progress
    ) -> None:
        """Write a picture of each classified file: the image beside its Grad-CAM heat map.

        A picture is named by the file's position among all given files and by the file's name,
        of which it has the first `_MAX_NAME_BYTES`. Needs
        `model`. Raises `ConfigError` if the model has no feature map.
        """
        assert self.model is not None, "Grad-CAM needs a timm model"
        folder.mkdir(parents=True, exist_ok=True)
        predicted = self.spec.predict_classes(predictions.probabilities)
        rows = [row for row, outcome in enumerate(predictions.outcomes) if outcome.status == "ok"]
        for start in range(0, len(predicted), BATCH_SIZE):
            batch = slice(start, start + BATCH_SIZE)
            files = predictions.files[batch]
            images = [self._read(file) for file in files]
            maps = grad_cam_maps(self.model, self.spec.normalise(images), predicted[batch])
            if maps is None:
                raise ConfigError(
                    "This model has no feature map, which Grad-CAM needs; leave --grad-cam out."
                )
            for row, file, image, heat in zip(rows[batch], files, images, maps, strict=True):
                both = np.hstack([image, overlay_heatmap(image, heat)])
                name = os.fsencode(file.stem)[:_MAX_NAME_BYTES].decode(errors="ignore")
                Image.fromarray(both).save(folder / f"{row:06d}_{name}.png")
            progress("drawing Grad-CAM", start + len(files), len(predicted))

    def logits(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32 logits of image files.

        Raises one of `trainables.images.IMAGE_ERRORS` if a file can't be read.
        """
        starts = range(0, len(files), BATCH_SIZE)
        batches = [files[start : start + BATCH_SIZE] for start in starts]
        return np.concatenate([self._logits([self._read(f) for f in batch]) for batch in batches])

    def probabilities(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32 probabilities, with the errors of `logits`."""
        return np.asarray(softmax(self.logits(files), axis=1))

    def _decoded_batches(
        self, files: Sequence[Path]
    ) -> Iterator[list[tuple[FileOutcome, np.ndarray | None]]]:
        """Batches of outcomes, each with the resized image if the file could be read.

        The next batch is decoded in threads while the current one is in use.
        """
        with ThreadPoolExecutor(available_cpus()) as pool:
            following: list[Future[tuple[FileOutcome, np.ndarray | None]]] = []
            for start in range(0, len(files) + BATCH_SIZE, BATCH_SIZE):
                current, batch = following, files[start : start + BATCH_SIZE]
                following = [pool.submit(self._try_read, file) for file in batch]
                if current:
                    yield [read.result() for read in current]

    def _try_read(self, file: Path) -> tuple[FileOutcome, np.ndarray | None]:
        """Outcome of reading a file, and its resized image; None if it can't be read."""
        try:
            return FileOutcome(file, "ok"), self._read(file)
        except IMAGE_ERRORS as error:
            is_missing = isinstance(error, FileNotFoundError)
            status: Literal["missing", "unreadable"] = "missing" if is_missing else "unreadable"
            return FileOutcome(file, status, describe_image_error(error)), None

    def _read(self, file: Path) -> np.ndarray:
        return self.spec.pixel_format.resize(read_rgb(file, side=self.spec.image_size))

    def _logits(self, resized: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return self.forward(self.spec.normalise(resized))
