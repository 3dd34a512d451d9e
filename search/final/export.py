"""Export of the final model to formats that other programs load.

Each file is loaded again and compared with the model. Then all replace an earlier export at once.
"""

import importlib.util
import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from torch import nn

from search.config import Format
from search.final.model_card import ExportedFormat, model_card
from search.record import (
    MODEL_CARD,
    FinalModel,
    SweepPaths,
    TrialRecord,
    compare_with_test,
    logits_agree,
)
from spaces import ConfigError, Fit, RunError
from trainables.data import Dataset, read_surveyed_image
from trainables.files import disk_errors_named, on_one_line
from trainables.inference import SIDECAR, SPEC, FlipAverage, ModelSpec, average_flips
from trainables.models import separate_tensors, timm_model_args
from trainables.process import configure_process
from trainables.process_limits import available_cpus
from trainables.replacement import replacing

CHECKED_IMAGES = 16
"""Number of test images on which an export is compared with the model and timed."""
TIMING_RUNS = 5
"""Number of timed runs; the fastest counts."""
_MODEL_FILES: dict[Format, str] = {
    "timm": "model.safetensors",
    "onnx": "model.onnx",
    "pt2": "model.pt2",
    "torchscript": "model.torchscript",
}
EXPORTED_FILES = {
    *_MODEL_FILES.values(),
    "config.json",
    "model.onnx.data",
    "labels.txt",
    MODEL_CARD,
}
"""Names of all files that an export may contain."""

_CARD_TITLE = ", fine-tuned on "
"""Part of the first line of every model card."""

_CROP_MODES: dict[Fit, str] = {"squash": "squash", "letterbox": "border", "crop": "center"}
"""timm's names of the fits."""

_TIMM_WITHOUT_FLIPS = (
    "The timm folder holds the model without the mirror images: `finesweep predict` adds them, "
    "timm alone gives the probabilities of the image itself."
)

Run = Callable[[torch.Tensor], np.ndarray]
"""Inference function of an export: from preprocessed images, ``(n, 3, h, w)``, to logits."""

_log = logging.getLogger("finesweep")


def export_model(
    final: FinalModel,
    trials: Sequence[TrialRecord],
    dataset: Dataset,
    paths: SweepPaths,
    *,
    formats: Sequence[Format],
    out: Path | None = None,
) -> tuple[ExportedFormat, ...]:
    """Write to ``out`` the model in each of ``formats``, ``labels.txt``, and the model card.

    ``out`` is the sweep's export folder unless given; other files in it stay. The card needs all
    ``trials`` of the sweep. Raises `ConfigError` if a format needs a package that is not installed,
    or if ``out`` has files of others (`_check_folder`). Raises `OSError` if a disk is full or
    fails. Raises `RunError` if the model's outputs differ from those of its test, or an export's
    logits from the model's (`logits_agree`).
    """
    check_export_packages(formats)
    if out is not None:
        _check_folder(out)
    configure_process(threads=available_cpus())  # as the card says of its timings
    # 1. Load the model, and check that it gives the probabilities stored when it was tested.
    point = final.rates.point if final.rates else None
    spec = ModelSpec.of(final.winner.params, dataset.classes, point, final.flips)
    model = final.load(paths, len(dataset.classes), exportable=True)
    images = _test_images(dataset, spec, paths)
    with torch.inference_mode():
        expected = model(images).numpy()
    compare_with_test(expected, final, dataset.classes, paths)
    notes, exported = _notes(final, formats), []
    place = out or paths.export
    with disk_errors_named(place), replacing(place, EXPORTED_FILES) as folder:
        # 2. Write and check each format.
        labels = "".join(f"{on_one_line(name)}\n" for name in dataset.classes)
        (folder / "labels.txt").write_text(labels, encoding="utf-8")
        for name in _possible(final, formats):
            size_before = _size_mib(folder)
            run = _WRITERS[name](model, final, spec, images, folder)
            size_mib = _size_mib(folder) - size_before
            backbone = final.winner.params.backbone
            exported.append(_check(name, backbone, run, images, expected, size_mib))
        # 3. Write the model card, which reports the checks.
        card = model_card(
            final, trials, dataset, spec, paths, exported, batch_size=len(images), notes=notes
        )
        (folder / MODEL_CARD).write_text(card, encoding="utf-8")
        mode = (folder / "labels.txt").stat().st_mode
        for file in folder.iterdir():
            file.chmod(mode)  # safetensors writes files that only their owner can read
    return tuple(exported)


def _check_folder(out: Path) -> None:
    """Raise `ConfigError` if an export would replace files in ``out`` that are not of an export.

    The folder of an export has ``labels.txt``, and a model card with its usual first line.
    """
    files = sorted(name for name in EXPORTED_FILES if (out / name).exists())
    if not files:
        return
    card = out / MODEL_CARD
    if "labels.txt" in files and card.exists():
        with card.open(encoding="utf-8", errors="replace") as opened:
            if _CARD_TITLE in opened.readline():
                return
    raise ConfigError(
        f"{out.absolute()} has {' and '.join(files)}, which an export would replace, and is not "
        "the folder of an export; give --out another folder."
    )


def is_exported(final: FinalModel, formats: Sequence[Format], out: Path) -> bool:
    """Whether ``out`` holds a complete export in all ``formats`` that support the model."""
    files = [out / _MODEL_FILES[name] for name in _possible(final, formats)]
    return (out / MODEL_CARD).exists() and all(file.exists() for file in files)


def _test_images(dataset: Dataset, spec: ModelSpec, paths: SweepPaths) -> torch.Tensor:
    """The first `CHECKED_IMAGES` test images, preprocessed.

    Retraining keeps them, so that exports need no files of images; earlier versions did not.
    """
    if paths.checked_images.exists():
        return spec.normalise(list(np.load(paths.checked_images)))
    rows = dataset.rows("test")[:CHECKED_IMAGES]
    images = [read_surveyed_image(dataset, row, side=spec.image_size) for row in rows]
    return spec.normalise([spec.pixel_format.resize(image) for image in images])


def _possible(final: FinalModel, formats: Sequence[Format]) -> list[Format]:
    """The formats that support the model; timm supports only a model that timm alone can build."""
    return [name for name in formats if name != "timm" or not _why_not_timm(final)]


def _notes(final: FinalModel, formats: Sequence[Format]) -> list[str]:
    """Sentences for the model card about formats that are left out or incomplete."""
    if "timm" not in formats:
        return []
    if not (why := _why_not_timm(final)):
        return [_TIMM_WITHOUT_FLIPS] if final.flips != "none" else []
    note = f"The timm format is left out, because timm alone can't build {why}."
    _log.warning(note)
    return [note]


def _check(
    name: Format,
    backbone: str,
    run: Run,
    images: torch.Tensor,
    expected: np.ndarray,
    size_mib: float,
) -> ExportedFormat:
    """Compare an exported format with the model, and time it. Raises `RunError` if they differ."""
    with torch.inference_mode():
        logits = run(images)
        difference = float(np.abs(logits - expected).max())
        if not logits_agree(logits, expected):
            raise RunError(
                f"The logits of the {name} export of {backbone} differ from the trained model's by "
                f"up to {difference:.2g}; leave {name} out of the formats."
            )
        return ExportedFormat(
            format=name,
            size_mib=size_mib,
            max_logit_difference=difference,
            latency_ms=_milliseconds_per_image(run, images[:1]),
            batch_latency_ms=_milliseconds_per_image(run, images),
        )


def _size_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 2**20


def _milliseconds_per_image(run: Run, images: torch.Tensor) -> float:
    """Time of the fastest of `TIMING_RUNS` runs, divided by the number of images."""
    seconds = []
    for _ in range(TIMING_RUNS):
        began = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - began)
    return 1000 * min(seconds) / len(images)


def _why_not_timm(final: FinalModel) -> str:
    """The part of the model that timm alone can't build; empty if timm can build all of it."""
    if len(final.members) > 1:
        return f"an ensemble of {len(final.members)} trials"
    hidden = final.winner.params.head_hidden
    return f"a head with a hidden layer (head_hidden={hidden})" if hidden else ""


def _write_timm(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    model = model.model if isinstance(model, FlipAverage) else model
    pretrained_cfg: Any = model.pretrained_cfg
    model.pretrained_cfg = {  # type: ignore[assignment]
        **pretrained_cfg,
        "input_size": [3, spec.image_size, spec.image_size],
        "interpolation": spec.interpolation,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "crop_pct": 1.0,
        "test_input_size": [3, spec.image_size, spec.image_size],
        "test_crop_pct": 1.0,
        "crop_mode": _CROP_MODES[spec.fit],
    }
    save_config_for_hf(
        model,
        str(out / "config.json"),
        model_config={
            "num_classes": len(spec.labels),
            "label_names": list(spec.labels),
            SPEC: json.loads(spec.to_json()),
        },
        model_args=timm_model_args(final.winner.params) or None,
    )
    save_file(separate_tensors(model), out / "model.safetensors")
    model.pretrained_cfg = pretrained_cfg
    loaded = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    averaged = average_flips(loaded, spec.flips)
    return lambda x: np.asarray(averaged(x).detach().numpy())


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
    written = io.BytesIO()  # given a path, torch ends the process when the disk is full
    torch.export.save(program, written, extra_files={SIDECAR: spec.to_json()})
    (out / "model.pt2").write_bytes(written.getbuffer())
    loaded = torch.export.load(out / "model.pt2").module()
    return lambda x: np.asarray(loaded(x).detach().numpy())


def _write_torchscript(
    model: nn.Module, final: FinalModel, spec: ModelSpec, images: torch.Tensor, out: Path
) -> Run:
    file, written = out / "model.torchscript", io.BytesIO()
    with warnings.catch_warnings():  # TorchScript is deprecated, but the user asked for it
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, images[:2])  # type: ignore[no-untyped-call]
        torch.jit.save(traced, written, _extra_files={SIDECAR: spec.to_json()})
        file.write_bytes(written.getbuffer())
        loaded = torch.jit.load(str(file))  # type: ignore[no-untyped-call]
    return lambda x: np.asarray(loaded(x).detach().numpy())


_WRITERS: dict[Format, Callable[[nn.Module, FinalModel, ModelSpec, torch.Tensor, Path], Run]] = {
    "timm": _write_timm,
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "torchscript": _write_torchscript,
}
"""Writer of each format: writes the file, loads it again, and returns its inference function."""


def check_export_packages(formats: Sequence[Format]) -> None:
    """Raise `ConfigError` if a format needs a package that is not installed."""
    needed = ("onnx", "onnxruntime", "onnxscript") if "onnx" in formats else ()
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"The ONNX export needs {', '.join(missing)}; pip install 'finesweep[onnx]', or leave "
            "onnx out of the formats."
        )
