"""`Predictor`: an exported model and its answers. Needs neither Ray nor the sweep."""

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

BATCH = 32


@dataclass(frozen=True)
class Answers:
    """A model's answers to the files that could be read."""

    files: tuple[Path, ...]
    probabilities: np.ndarray
    """``(files, classes)`` float32, each row summing to 1."""
    unreadable: dict[Path, str]
    """The other files, and why."""


class Predictor:
    """Classifies image files with an export: its timm folder, else its ``.pt2``, else its ONNX."""

    def __init__(
        self,
        spec: ModelSpec,
        forward: Callable[[torch.Tensor], np.ndarray],
        model: nn.Module | None = None,
    ) -> None:
        self.spec = spec
        self.model = model
        """timm's, if it is one."""
        self._forward = forward

    @classmethod
    def load(cls, export: Path) -> Self:
        """Open an export folder, a ``.pt2`` or an ``.onnx`` file.

        Raises `ConfigError` if it is none.
        """
        if (export / "config.json").is_file() and (export / "model.safetensors").is_file():
            return cls._of_timm(export)
        for name, opened in (("model.pt2", cls._of_program), ("model.onnx", cls._of_onnx)):
            file = export if export.suffix == Path(name).suffix else export / name
            if file.is_file():
                return opened(file)
        if not export.exists():
            raise ConfigError(f"The export {export} does not exist; give the folder of one.")
        inside = export / "export"
        hint = f"give {inside}" if inside.is_dir() else "give the export folder of a sweep"
        raise ConfigError(
            f"{export} is no export that predict opens, which are a folder with model.safetensors "
            f"and config.json, model.pt2 and model.onnx; {hint}."
        )

    @classmethod
    def _of_timm(cls, folder: Path) -> Self:
        file = folder / "config.json"
        stated = json.loads(file.read_text(encoding="utf-8")).get(SPEC)
        spec = ModelSpec.within(file, json.dumps(stated) if stated else "")
        model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        return cls(spec, lambda images: np.asarray(model(images).numpy()), model)

    @classmethod
    def _of_program(cls, file: Path) -> Self:
        extra = {SIDECAR: ""}
        module = torch.export.load(file, extra_files=extra).module()
        spec = ModelSpec.within(file, extra[SIDECAR])
        return cls(spec, lambda images: np.asarray(module(images).numpy()))

    @classmethod
    def _of_onnx(cls, file: Path) -> Self:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                f"{file} needs onnxruntime; pip install 'finesweep[onnx]' to open it."
            ) from None
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        known = session.get_modelmeta().custom_metadata_map
        spec = ModelSpec.within(file, known.get(SIDECAR, ""))
        return cls(
            spec, lambda images: np.asarray(session.run(None, {"images": images.numpy()})[0])
        )

    def answers(self, files: Sequence[Path], progress: Progress = ignore_progress) -> Answers:
        """Classify what can be read; files are opened side by side while others are classified."""
        read: list[Path] = []
        unreadable: dict[Path, str] = {}
        parts = [np.empty((0, len(self.spec.labels)), np.float32)]
        for batch in self._opened(files):
            squares = [square for _, square in batch if isinstance(square, np.ndarray)]
            read += [file for file, square in batch if isinstance(square, np.ndarray)]
            unreadable |= {file: why for file, why in batch if isinstance(why, str)}
            if squares:
                parts.append(self._logits(squares))
            progress("classifying images", len(read) + len(unreadable), len(files))
        probabilities = np.asarray(softmax(np.concatenate(parts), axis=1))
        return Answers(tuple(read), probabilities, unreadable)

    def draw_grad_cams(
        self, answers: Answers, folder: Path, progress: Progress = ignore_progress
    ) -> None:
        """Write a picture for each answered file: the image, and where its answer comes from.

        Each is named after its row in ``answers`` and its file. Needs a `model`; of one that has
        no map, raises `ConfigError`.
        """
        assert self.model is not None
        folder.mkdir(parents=True, exist_ok=True)
        best = self.spec.answers(answers.probabilities)
        for start in range(0, len(best), BATCH):
            files = answers.files[start : start + BATCH]
            squares = [self._read(file) for file in files]
            classes = best[start : start + BATCH]
            found = grad_cam_maps(self.model, self.spec.normalise(squares), classes)
            if found is None:
                raise ConfigError("This model has no features in places; leave --grad-cam out.")
            for row, (file, square) in enumerate(zip(files, squares, strict=True), start=start):
                both = np.hstack([square, overlay_heatmap(square, found[row - start])])
                Image.fromarray(both).save(folder / f"{row:06d}_{file.stem}.png")
            progress("drawing where it looks", start + len(files), len(best))

    def logits(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32. Raises one of `trainables.data.decoding.IMAGE_ERRORS`."""
        batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
        return np.concatenate([self._logits([self._read(f) for f in some]) for some in batches])

    def probabilities(self, files: Sequence[Path]) -> np.ndarray:
        """``(n, classes)`` float32, each row summing to 1."""
        return np.asarray(softmax(self.logits(files), axis=1))

    def _opened(self, files: Sequence[Path]) -> Iterator[list[tuple[Path, np.ndarray | str]]]:
        """Batches of files, each as a square or with why it can't be read; one batch ahead."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ahead: list[tuple[Path, Future[np.ndarray | str]]] = []
            for start in range(0, len(files) + BATCH, BATCH):
                now, some = ahead, files[start : start + BATCH]
                ahead = [(file, pool.submit(self._try, file)) for file in some]
                if now:
                    yield [(file, square.result()) for file, square in now]

    def _try(self, file: Path) -> np.ndarray | str:
        try:
            return self._read(file)
        except IMAGE_ERRORS as error:
            return describe_image_error(error)

    def _read(self, file: Path) -> np.ndarray:
        return self.spec.square(read_rgb(file, side=self.spec.image_size))

    def _logits(self, squares: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return self._forward(self.spec.normalise(squares))
