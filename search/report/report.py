"""Report of a finished, running or interrupted sweep, with a function for each section."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from search.config import launch_arguments
from search.ranking import leaderboard_columns, trial_table
from search.record import FinalModel, SweepPaths, TrialRecord, format_duration, program_name
from search.report.charts import chart_style
from search.report.data_charts import class_balance_picture
from search.report.final_test_charts import final_test_blocks
from search.report.galleries import (
    grad_cam_gallery,
    images_available,
    label_errors_gallery,
    mistakes_gallery,
)
from search.report.html import Block, Gallery, Section, Table, Text, render
from search.report.parameter_charts import parameter_pictures
from search.report.search_charts import search_pictures
from search.report.summary import summary
from search.report.sweep_data import SweepData
from spaces import RunError
from spaces.wording import counted
from trainables.evaluation import Predictions
from trainables.files import write_atomically
from trainables.inference import ModelSpec

MAX_ROWS = 20
"""Largest number of rows in a table."""
_WORKER_STAGES = {
    "prefix": "frozen layers",
    "train": "training",
    "evaluate": "validation",
    "wait": "setup and waiting",
}
"""Labels of the worker times in ``profile.json``."""


def write_report(paths: SweepPaths, trials: Sequence[TrialRecord], out: Path | None = None) -> Path:
    """Write the report to ``out``, by default into the sweep's folder, and return its path.

    ``trials`` are those of the sweep's journal. Results that the sweep has not produced yet are
    left out, and the report says so. Thumbnails are made from the images at their recorded paths.
    """
    data = SweepData.read(paths, trials)
    with chart_style():
        sections = [
            search_section(data),
            *final_model_section(data),
            data_section(data),
            cost_section(data),
        ]
    page = render(f"Finesweep: {paths.root.name}", summary(data), sections)
    out = out or paths.report
    write_atomically(out, lambda partial: partial.write_text(page, encoding="utf-8"))
    return out


def search_section(data: SweepData) -> Section:
    """Section on the search: charts, the best trials, and the failed trials."""
    failures = _failures_table(data)
    try:
        history = data.history()
    except RunError as error:
        return Section("The search", (Text(str(error)), *failures))
    pictures = (*search_pictures(history), *parameter_pictures(history))
    return Section("The search", (*pictures, _leaderboard(data), *failures))


def _leaderboard(data: SweepData) -> Table:
    metric = data.config.metric
    table = leaderboard_columns(trial_table(data.trials, metric), metric)
    shown = table.head(MAX_ROWS)
    more = f"; trials.csv has all {len(table)}" if len(table) > MAX_ROWS else ""
    confirmed = ""
    if "confirmed_mean" in table:
        confirmed = (
            " Trials that were repeated are ranked among themselves by the mean score of their "
            "repeats (confirmed_mean)."
        )
    return Table(
        f"The best trials by {metric}{more}.{confirmed}",
        tuple(map(str, shown.columns)),
        tuple(tuple(row) for row in shown.to_numpy().tolist()),
    )


def _failures_table(data: SweepData) -> list[Table]:
    """Table of the failed trials, in a list that is empty if no trial failed."""
    failed = [trial for trial in data.searched if trial.status == "failed"]
    if not failed:
        return []
    rows = [(trial.trial_id, trial.params.backbone, trial.error) for trial in failed[:MAX_ROWS]]
    caption = f"{counted(len(failed), 'failed trial')}; the tracebacks are in failures/."
    return [Table(caption, ("trial_id", "backbone", "error"), tuple(rows))]


def final_model_section(data: SweepData) -> list[Section]:
    """Section on the final model, in a list that is empty until the model is tested."""
    final, predictions = data.final, data.predictions
    if final is None or predictions is None:
        return []
    features = np.load(data.paths.features) if data.paths.features.exists() else None
    blocks = final_test_blocks(predictions, final, features)
    if images_available(data.dataset):
        blocks += _final_model_galleries(data, final, predictions)
    else:
        blocks.append(
            Text(
                f"No image is shown: the files in {data.dataset.root} are missing or have changed "
                "since the launch."
            )
        )
    if len(final.members) > 1:
        winner = f"trial {final.winner.trial_id}, the winner among the members."
        blocks.append(Text(f"The t-SNE map and Grad-CAM show only {winner}"))
    return [Section("The final model", tuple(blocks))]


def _final_model_galleries(
    data: SweepData, final: FinalModel, predictions: Predictions
) -> list[Gallery]:
    """Galleries of mistakes and of Grad-CAM; Grad-CAM of an ensemble shows the winner alone."""
    classes = data.dataset.classes
    spec = ModelSpec.of(final.winner.params, classes)
    model = final.winner.load(data.paths.final_weights, len(classes))
    galleries = (
        mistakes_gallery(predictions, data.dataset),
        grad_cam_gallery(predictions, data.dataset, model, spec),
    )
    return [gallery for gallery in galleries if gallery is not None]


def data_section(data: SweepData) -> Section:
    """Section on the data: class balance, bad or suspicious images, and likely label errors."""
    blocks: list[Block] = [class_balance_picture(data.dataset)]
    issues = pd.read_csv(data.paths.bad_images, dtype=str, keep_default_na=False)
    for kind, description in (("bad", "left out"), ("odd", "kept, but suspicious")):
        of_kind = issues[issues["kind"] == kind]
        if len(of_kind):
            rows = of_kind[["path", "reason"]].head(MAX_ROWS).to_numpy().tolist()
            more = "; bad_images.csv lists them all" if len(of_kind) > MAX_ROWS else ""
            caption = f"{counted(len(of_kind), 'image')} {description}{more}."
            blocks.append(Table(caption, ("path", "reason"), tuple(map(tuple, rows))))
    if not len(issues):
        blocks.append(Text("Every image could be read, and none is a duplicate or suspicious."))
    if data.predictions and (doubted := label_errors_gallery(data.predictions, data.dataset)):
        blocks.append(doubted)
    return Section("The data", tuple(blocks))


def cost_section(data: SweepData) -> Section:
    """Section on time, on what the result depends on, and on how to launch the sweep again."""
    relaunch = data.config.model_copy(update={"space": str(data.paths.space)})
    command = shlex.join(["launch", *launch_arguments(relaunch)])
    return Section(
        "Time, cost and reproduction",
        (
            *_time_table(data),
            _provenance_table(data),
            Text(f"To launch the sweep again:  {program_name()} {command}"),
            Text(
                "On other hardware, numbers differ a little. With several trials at a time, the "
                "search may try other points, because a proposal depends on which trials have "
                "ended before it."
            ),
        ),
    )


def _time_table(data: SweepData) -> list[Table]:
    """Table of times, in a list that is empty until the first run has ended."""
    if not data.paths.profile.exists():
        return []
    profile = json.loads(data.paths.profile.read_text(encoding="utf-8"))
    rows = [(f"wall time: {name}", format_duration(s)) for name, s in profile["stages"].items()]
    rows += [
        (f"worker time: {_WORKER_STAGES[name]}", format_duration(s))
        for name, s in profile["worker_seconds"].items()
    ]
    caption = "Time of the last run, without the time to write this report."
    return [Table(caption, ("stage", "time"), tuple(rows))]


def _provenance_table(data: SweepData) -> Table:
    environment = json.loads(data.paths.environment.read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    gpus = ", ".join(environment["gpus"]) or "none"
    rows = (
        ("Finesweep", f"{environment['finesweep']}, commit {environment['commit'] or 'unknown'}"),
        ("Python and packages", f"Python {environment['python']}, {versions}"),
        (
            "driver's machine",
            f"{environment['platform']}, {environment['cpus']} CPUs, GPUs: {gpus}",
        ),
        ("seed", str(data.config.seed)),
        ("images", f"fingerprint {data.dataset.fingerprint}, {data.dataset.root}"),
        ("space", f"{data.space.name}, kept in space.json"),
        (
            "all settings",
            "sweep.json; resolved.json has what the launch determined",
        ),
    )
    return Table("What the result depends on.", ("what", "value"), rows)
