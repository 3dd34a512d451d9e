"""The report of a sweep: finished, running or broken off."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd

from search.config import launch_words
from search.ranking import leaderboard_columns, trial_table
from search.record import SweepPaths, program, took
from search.report import final_test_charts as testing
from search.report import galleries as looking
from search.report import parameter_charts as parameters
from search.report import search_charts as searching
from search.report.charts import COLOURS, Chart, shortened, style
from search.report.html import Block, Picture, Section, Table, Text, render
from search.report.search_charts import Searched
from search.report.summary import lead
from search.report.sweep_data import Found
from spaces import RunError
from trainables.data import SPLITS, Dataset
from trainables.files import write_atomically
from trainables.inference import ModelSpec
from trainables.models import Preprocessing

RANKED = 20
"""Rows of a table."""
_WORK = {
    "prefix": "images through frozen layers",
    "train": "training",
    "evaluate": "validation",
    "wait": "setting up, and waiting",
}


def write_report(paths: SweepPaths, out: Path | None = None) -> Path:
    """Write the page, beside the sweep's other files unless ``out`` says where.

    Reads what the sweep has left by now and trains nothing; what is not there yet is left out, and
    the page says so. Takes its pictures from where the images were when it was launched.
    """
    found = Found.read(paths)
    with style():
        sections = [_search(found), *_model(found), _data(found), _spent(found)]
    page = render(f"Finesweep: {paths.root.name}", lead(found), sections)
    out = out or paths.report
    write_atomically(out, lambda partial: partial.write_text(page, encoding="utf-8"))
    return out


def _search(found: Found) -> Section:
    trials, metric, failures = found.trials, found.config.metric, _failures(found)
    native = {t.params.backbone: Preprocessing.of(t.params.backbone).image_size for t in trials}
    try:
        searched = Searched.of(trials, metric, found.space, native)
    except RunError as error:
        return Section("The search", (Text(str(error)), *failures))
    table = leaderboard_columns(trial_table(trials, metric), metric)
    shown = table.head(RANKED)
    more = f"; trials.csv has all {len(table)}" if len(table) > RANKED else ""
    confirmed = " Confirmed means are over three seeds." if "confirmed_mean" in table else ""
    ranked = Table(
        f"The best trials by {metric}{more}.{confirmed}",
        tuple(map(str, shown.columns)),
        tuple(tuple(row) for row in shown.to_numpy().tolist()),
    )
    drawn = (*searching.pictures(searched), *parameters.pictures(searched))
    return Section("The search", (*drawn, ranked, *failures))


def _failures(found: Found) -> list[Table]:
    failed = [trial for trial in found.searched if trial.status == "failed"]
    if not failed:
        return []
    rows = [(trial.trial_id, trial.params.backbone, trial.error) for trial in failed[:RANKED]]
    caption = f"{len(failed)} trials failed; failures/ has their tracebacks."
    return [Table(caption, ("trial_id", "backbone", "error"), tuple(rows))]


def _model(found: Found) -> list[Section]:
    """None before there is one."""
    final, tested, dataset = found.final, found.tested, found.dataset
    if final is None or tested is None:
        return []
    features = np.load(found.paths.features) if found.paths.features.exists() else None
    blocks = testing.blocks(tested, final, features)
    if looking.can_be_opened(dataset):
        spec = ModelSpec.of(final.winner.params, dataset.classes)
        model = final.winner.load(found.paths.final_weights, len(dataset.classes))
        galleries = (
            looking.mistakes(tested, dataset),
            looking.where_it_looks(tested, dataset, model, spec),
        )
        blocks += [gallery for gallery in galleries if gallery is not None]
    else:
        gone = f"No image is shown: those in {dataset.root} are gone, or are others by now."
        blocks.append(Text(gone))
    if len(final.members) > 1:
        alone = f"of trial {final.winner.trial_id} alone, the winner among the members."
        blocks.append(Text(f"The map of features and where the model looks are {alone}"))
    return [Section("The final model", tuple(blocks))]


def _data(found: Found) -> Section:
    blocks: list[Block] = [_balance(found.dataset)]
    suspects = pd.read_csv(found.paths.bad_images, dtype=str, keep_default_na=False)
    for kind, said in (("bad", "left out"), ("odd", "kept, and deserve a look")):
        some = suspects[suspects["kind"] == kind]
        if len(some):
            rows = tuple(map(tuple, some[["path", "reason"]].head(RANKED).to_numpy().tolist()))
            more = "; bad_images.csv has them all" if len(some) > RANKED else ""
            blocks.append(Table(f"{len(some)} images are {said}{more}.", ("path", "why"), rows))
    if not len(suspects):
        blocks.append(Text("Every image could be read, none is there twice, and none looks odd."))
    if found.tested and (doubted := looking.doubted_labels(found.tested, found.dataset)):
        blocks.append(doubted)
    return Section("The data", tuple(blocks))


def _balance(dataset: Dataset) -> Picture:
    counts = {split: dataset.counts(split) for split in SPLITS}
    whole = {name: sum(counts[split][name] for split in SPLITS) for name in dataset.classes}
    names = sorted(whole, key=lambda name: -whole[name])[:30][::-1]
    chart = Chart(height=max(2.4, 1.4 + 0.26 * len(names)))
    left = np.zeros(len(names))
    for split, colour in zip(SPLITS, COLOURS, strict=False):
        images = np.array([counts[split][name] for name in names])
        chart.axes.barh(range(len(names)), images, left=left, color=colour, label=split)
        left += images
    chart.axes.set_yticks(range(len(names)), shortened(names))
    chart.axes.set(xlabel="images")
    chart.axes.grid(axis="y", visible=False)
    chart.legend()
    most, least = max(whole, key=whole.__getitem__), min(whole, key=whole.__getitem__)
    few = f" The {len(whole) - 30} smallest are left out." if len(whole) > 30 else ""
    span = f"from {whole[least]} of {least} to {whole[most]} of {most}"
    uneven = f"{most} has {whole[most] / whole[least]:.1f} times the images of {least}"
    if whole[most] == whole[least]:
        span, uneven = f"{whole[most]} of every one", "every class has as many"
    return chart.picture(
        f"Images of each class: {span}.", f"Images of each class and split; {uneven}.{few}"
    )


def _spent(found: Found) -> Section:
    rows: list[tuple[str, str]] = []
    if found.paths.profile.exists():
        profile = json.loads(found.paths.profile.read_text(encoding="utf-8"))
        rows += [(f"wall: {name}", took(spent)) for name, spent in profile["stages"].items()]
        rows += [(f"workers: {_WORK[n]}", took(s)) for n, s in profile["worker_seconds"].items()]
    known = json.loads(found.paths.environment.read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {number}" for name, number in known["packages"].items())
    gpus = ", ".join(known["gpus"]) or "none"
    facts = (
        ("Finesweep", f"{known['finesweep']}, commit {known['commit'] or 'unknown'}"),
        ("Python and packages", f"Python {known['python']}, {versions}"),
        ("driver's machine", f"{known['platform']}, {known['cpus']} CPUs, GPUs: {gpus}"),
        ("seed", str(found.config.seed)),
        ("images", f"fingerprint {found.dataset.fingerprint}, {found.dataset.root}"),
        ("space", f"{found.space.name}, kept in space.json"),
        ("all settings", "sweep.json"),
    )
    as_kept = found.config.model_copy(update={"space": str(found.paths.space)})
    again = shlex.join(["launch", *launch_words(as_kept)])
    caption = "Where the last run's time went, this page not counted."
    times = [Table(caption, ("what", "time"), tuple(rows))] if rows else []
    return Section(
        "Time and cost, and how to make it again",
        (
            *times,
            Table("What the result depends on.", ("what", "here"), facts),
            Text(f"Launched again:  {program()} {again}"),
            Text(
                "On other hardware, or with trials side by side, numbers differ a little: which "
                "trial is proposed next depends on which ended first."
            ),
        ),
    )
