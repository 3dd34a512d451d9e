"""The model card in an export's folder: what the model is, how good, how fast, and how made."""

import json
import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from search.config import launch_words
from search.record import FinalModel, SweepPaths, load_config, program, read_trials, took
from trainables.data import SPLITS, Dataset
from trainables.evaluation import Predictions, bootstrap_intervals, calibration_curve
from trainables.inference import ModelSpec


@dataclass(frozen=True)
class ExportedFormat:
    """A format that was written, loaded again and tried."""

    format: str
    mib: float
    """Of its files."""
    difference: float
    """The largest in logits from the trained model."""
    latency_ms: float
    """Of one image on all cores of this machine."""
    batch_ms: float
    """Of an image among many."""


def model_card(
    final: FinalModel,
    dataset: Dataset,
    spec: ModelSpec,
    paths: SweepPaths,
    files: Sequence[ExportedFormat],
    *,
    batch: int,
    notes: Sequence[str],
) -> str:
    """In Markdown; ``batch`` is how many images the ``files`` were tried on at a time."""
    config, trials = load_config(paths), read_trials(paths.journal)
    known = json.loads(paths.environment.read_text(encoding="utf-8"))
    packages = ", ".join(f"{name} {number}" for name, number in known["packages"].items())
    kept = config.model_copy(update={"space": str(paths.space)})
    return _TEMPLATES.get_template("model_card.md.jinja").render(
        name=" and ".join(dict.fromkeys(member.params.backbone for member in final.members)),
        final=final,
        dataset=dataset,
        spec=spec,
        files=files,
        batch=batch,
        notes=notes,
        tested=len(dataset.rows("test")),
        metrics=_metrics(final, dataset, paths),
        counts=", ".join(f"{len(dataset.rows(split))} {split}" for split in SPLITS),
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
        trials=sum(trial.repeat is None for trial in trials),
        searched=took(sum(trial.seconds for trial in trials)),
        again=shlex.join([*program().split(), "launch", *launch_words(kept)]),
        versions=f"Finesweep {known['finesweep']}, Python {known['python']}, {packages}",
    )


def _metrics(final: FinalModel, dataset: Dataset, paths: SweepPaths) -> list[tuple[str, str, str]]:
    tested = Predictions.read(paths.predictions, dataset.classes)
    probabilities, labels = tested.probabilities, tested.labels
    test, drawn = final.test, bootstrap_intervals(probabilities, labels)
    rows = [
        ("accuracy", test.accuracy, test.accuracy_ci95),
        ("balanced accuracy", test.balanced_accuracy, drawn.balanced_accuracy),
        ("macro F1", test.macro_f1, drawn.macro_f1),
        ("ROC AUC", test.roc_auc, drawn.roc_auc),
        ("expected calibration error", calibration_curve(probabilities, labels).error, None),
        *(final.rates.rows if final.rates else ()),
    ]
    return [
        (name, f"{value:.4f}", "" if between is None else "{:.4f} to {:.4f}".format(*between))
        for name, value, between in rows
        if value is not None
    ]


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
)
