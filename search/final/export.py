"""Write the final model as what others can open, and open each again before it counts."""

import importlib.util
import json
import logging
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from scipy.special import softmax
from timm.models import save_for_hf
from torch import nn

from search.config import Format
from search.final.model_card import ExportedFormat, model_card
from search.record import CARD, FinalModel, SweepPaths
from spaces import ConfigError, RunError
from trainables.data import Dataset, read_surveyed_image
from trainables.evaluation import Predictions
from trainables.inference import SIDECAR, SPEC, ModelSpec
from trainables.models import timm_model_args

TOLERANCE = 1e-3
"""A format whose logits differ by more than this is an error."""
CHECKED_IMAGES = 16
_TIMES = 5
_MODELS: dict[Format, str] = {
    "timm": "model.safetensors",
    "onnx": "model.onnx",
    "pt2": "model.pt2",
    "torchscript": "model.torchscript",
}
_FILES = {*_MODELS.values(), "config.json", "model.onnx.data", "labels.txt", CARD}

_log = logging.getLogger("finesweep")


def export_model(
    final: FinalModel, dataset: Dataset, paths: SweepPaths, *, formats: Sequence[Format], out: Path
) -> tuple[ExportedFormat, ...]:
    """Write ``formats``, ``labels.txt`` and the model card below ``out``.

    Each is loaded again and tried on real test images. Raises `ConfigError` where a format can't be
    had, `RunError` where one differs.
    """
    check_export_packages(formats)
    point = final.rates.point if final.rates else None
    spec = ModelSpec.of(final.winner.params, dataset.classes, point)
    model = final.load(paths, len(dataset.classes), exportable=True)
    rows = dataset.rows("test")[:CHECKED_IMAGES]
    images = spec.preprocess(
        [read_surveyed_image(dataset, row, side=spec.image_size) for row in rows]
    )
    with torch.inference_mode():
        expected = model(images).numpy()
    _compare_with_test(expected, dataset.classes, paths)

    made = out.with_name(out.name + ".partial")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    (made / "labels.txt").write_text("\n".join(dataset.classes) + "\n", encoding="utf-8")
    written: list[ExportedFormat] = []
    notes: list[str] = []
    for name in formats:
        why = _no_timm_model(final)
        if name == "timm" and why:
            notes.append(f"The timm folder is left out: {why} is no plain timm model.")
            _log.warning(notes[-1])
            continue
        before = _mib(made)
        run = _WRITERS[name](model, final, spec, images, made)
        with torch.inference_mode():
            difference = float(np.abs(run(images) - expected).max())
            if difference > TOLERANCE:
                raise RunError(
                    f"The {name} export of {final.winner.params.backbone} differs from the model "
                    f"by {difference:.2g} in its logits, more than {TOLERANCE:g}."
                )
            one, many = _milliseconds(run, images[:1]), _milliseconds(run, images)
        written.append(ExportedFormat(name, _mib(made) - before, difference, one, many))
    card = model_card(final, dataset, spec, paths, written, batch=len(images), notes=notes)
    (made / CARD).write_text(card, encoding="utf-8")
    _put_in_place(made, out)
    return tuple(written)


def is_exported(final: FinalModel, formats: Sequence[Format], out: Path) -> bool:
    """Whether there is a whole export below ``out``, with these formats where they can be had."""
    wanted = set(formats) - ({"timm"} if _no_timm_model(final) else set())
    return (out / CARD).exists() and all((out / _MODELS[name]).exists() for name in wanted)


def _mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 2**20


def _milliseconds(run: "Run", images: torch.Tensor) -> float:
    """The least that an image takes, of a few times."""
    took = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        run(images)
        took.append(time.perf_counter() - began)
    return 1000 * min(took) / len(images)


def _no_timm_model(final: FinalModel) -> str:
    """What the final model is, if it is none of timm's."""
    if len(final.members) > 1:
        return f"an ensemble of {len(final.members)} trials"
    hidden = final.winner.params.head_hidden
    return f"a head with a hidden layer (head_hidden={hidden})" if hidden else ""


def _compare_with_test(logits: np.ndarray, classes: Sequence[str], paths: SweepPaths) -> None:
    """Raises `RunError` if the model read back doesn't answer as the one that was tested did."""
    if not paths.predictions.exists():
        return
    tested = Predictions.read(paths.predictions, classes).probabilities[: len(logits)]
    difference = float(np.abs(softmax(logits, axis=1) - tested).max())
    if difference > TOLERANCE:
        raise RunError(
            f"The model in {paths.final_weights} answers otherwise than it did in the test, by up "
            f"to {difference:.2g} in probability; retrain it."
        )


def _put_in_place(made: Path, out: Path) -> None:
    """Move a checked export over an earlier one; other files in ``out`` are left alone.

    Its card goes first and comes back last: its presence says that the rest is whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / CARD).unlink(missing_ok=True)
    for name in _FILES - {path.name for path in made.iterdir()}:
        (out / name).unlink(missing_ok=True)
    mode = (made / "labels.txt").stat().st_mode
    for path in sorted(made.iterdir(), key=lambda path: path.name == CARD):
        path.chmod(mode)  # safetensors makes files that only their owner can read
        path.replace(out / path.name)
    made.rmdir()


Run = Callable[[torch.Tensor], np.ndarray]
"""Images to logits, by the file just written."""


def _write_timm(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    stated: Any = model.pretrained_cfg
    model.pretrained_cfg = {  # type: ignore[assignment]
        **stated,
        "input_size": [3, spec.image_size, spec.image_size],
        "interpolation": spec.interpolation,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "crop_pct": 1.0,
        "crop_mode": "squash",
    }
    save_for_hf(
        model,
        str(out),
        model_config={
            "num_classes": len(spec.labels),
            "label_names": list(spec.labels),
            SPEC: json.loads(spec.to_json()),
        },
        model_args=timm_model_args(final.winner.params) or None,
        safe_serialization=True,
    )
    model.pretrained_cfg = stated
    again = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    return lambda x: np.asarray(again(x).detach().numpy())


def _write_onnx(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    import onnxruntime

    program = torch.onnx.export(
        model,
        (images[:2],),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["images"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[SIDECAR] = spec.to_json()
    program.save(str(out / "model.onnx"))
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda x: np.asarray(session.run(None, {"images": x.numpy()})[0])


def _write_pt2(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(model, (images[:2],), dynamic_shapes=shapes)
    torch.export.save(program, out / "model.pt2", extra_files={SIDECAR: spec.to_json()})
    again = torch.export.load(out / "model.pt2").module()
    return lambda x: np.asarray(again(x).detach().numpy())


def _write_torchscript(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    file = str(out / "model.torchscript")
    with warnings.catch_warnings():  # torch deprecates TorchScript; whoever asks for it knows
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, images[:2])  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={SIDECAR: spec.to_json()})
        again = torch.jit.load(file)  # type: ignore[no-untyped-call]
    return lambda x: np.asarray(again(x).detach().numpy())


_WRITERS = {
    "timm": _write_timm,
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "torchscript": _write_torchscript,
}


def check_export_packages(formats: Sequence[Format]) -> None:
    """Raises `ConfigError` if a format needs a package that isn't there."""
    needed = ("onnx", "onnxruntime", "onnxscript") if "onnx" in formats else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The ONNX export needs {', '.join(missing)}; pip install 'finesweep[onnx]', or choose "
            "--export.formats timm,pt2."
        )
