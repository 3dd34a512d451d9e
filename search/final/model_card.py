"""Model card of an export: test result, limits, input and output, files, licences, training.

See Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

import json
import platform
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from search.config import launch_arguments
from search.record import (
    FinalModel,
    SweepPaths,
    TrialRecord,
    format_duration,
    load_sweep_config,
    program_name,
)
from trainables.data import Dataset
from trainables.evaluation import bootstrap_intervals, calibration_curve
from trainables.files import on_one_line
from trainables.inference import ModelSpec
from trainables.listing import SPLITS
from trainables.models import weights_licence
from trainables.process_limits import available_cpus


@dataclass(frozen=True)
class ExportedFormat:
    """Size and latency of one exported format, and its difference from the trained model."""

    format: str
    size_mib: float
    """Size of the format's files, in MiB."""
    max_logit_difference: float
    """Largest absolute difference from the trained model's logits."""
    latency_ms: float
    """Milliseconds for a single image, in float32 on all cores of this machine."""
    batch_latency_ms: float
    """Milliseconds per image when a batch of images is classified at once."""


def model_card(
    final: FinalModel,
    trials: Sequence[TrialRecord],
    dataset: Dataset,
    spec: ModelSpec,
    paths: SweepPaths,
    exported: Sequence[ExportedFormat],
    *,
    batch_size: int,
    notes: Sequence[str],
) -> str:
    """The model card as Markdown.

    ``batch_size`` is the batch size at which the ``exported`` formats were timed; ``notes`` are
    sentences about formats that were left out.
    """
    config = load_sweep_config(paths)
    environment = json.loads(paths.environment.read_text(encoding="utf-8"))
    packages = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    relaunch = config.model_copy(update={"space": str(paths.space)})
    backbones = list(dict.fromkeys(member.params.backbone for member in final.members))
    return _TEMPLATES.get_template("model_card.md.jinja").render(
        name=" and ".join(backbones),
        licences=[
            f"{backbone} began with weights {weights_licence(backbone, config.weights)}."
            for backbone in backbones
        ],
        final=final,
        dataset=dataset,
        spec=spec,
        geometry=_geometry(spec),
        exported=exported,
        batch_size=batch_size,
        notes=notes,
        test_images=len(dataset.rows("test")),
        metrics=_metrics(final, dataset, paths),
        counts=", ".join(f"{len(dataset.rows(split))} {split}" for split in SPLITS),
        machine=f"{available_cpus()} cores, {platform.machine()}",
        num_trials=sum(trial.repeat is None for trial in trials),
        training_time=format_duration(sum(trial.seconds for trial in trials)),
        launch_command=shlex.join([*program_name().split(), "launch", *launch_arguments(relaunch)]),
        versions=f"Finesweep {environment['finesweep']}, Python {environment['python']}, "
        f"{packages}",
    )


def _geometry(spec: ModelSpec) -> str:
    """How an image becomes the square input, in words."""
    side, by = spec.image_size, spec.interpolation
    return {
        "squash": f"the whole image resized to {side}x{side} pixels ({by}; the aspect ratio is not "
        "kept)",
        "letterbox": f"the whole image resized to a longer side of {side} pixels ({by}), in the "
        f"middle of {side}x{side} pixels of the colour {spec.pixel_format.padding}",
        "crop": f"the image resized to a shorter side of {side} pixels ({by}), and the central "
        f"{side}x{side} pixels of it",
    }[spec.fit]


def _metrics(final: FinalModel, dataset: Dataset, paths: SweepPaths) -> list[tuple[str, str, str]]:
    """Rows of the table of metrics: name, value, 95% interval."""
    predictions = final.predictions(paths, dataset.classes)
    probabilities, labels = predictions.probabilities, predictions.labels
    test, bootstrap = final.test, bootstrap_intervals(probabilities, labels)
    rows = [
        ("accuracy", test.accuracy, test.accuracy_ci95),
        ("balanced accuracy", test.balanced_accuracy, bootstrap.balanced_accuracy),
        ("macro F1", test.macro_f1, bootstrap.macro_f1),
        ("ROC AUC", test.roc_auc, bootstrap.roc_auc),
        ("expected calibration error", calibration_curve(probabilities, labels).error, None),
        *(final.rates.rows if final.rates else ()),
    ]
    return [
        (name, f"{value:.4f}", "" if interval is None else "{:.4f} to {:.4f}".format(*interval))
        for name, value, interval in rows
        if value is not None
    ]


def _as_plain(text: str) -> str:
    """``text`` as Markdown that shows it unchanged on one line, also in a cell of a table.

    A class named "<5 mm" would be a tag, one named "a|b" two cells, and "__background__" bold.
    """
    marks = r"[\\`*|<>\[\]&~$]|(?<![^\W_])_|_(?![^\W_])"
    return re.sub(marks, lambda mark: f"\\{mark[0]}", on_one_line(text))


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
_TEMPLATES.filters["plain"] = _as_plain
