"""The report of a sweep: finished, running or broken off."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from search.checks import load_config
from search.config import UNLIMITED, SweepConfig
from search.final import FinalModel
from search.flags import launch_words
from search.leaderboard import columns, trial_table, winner
from search.paths import SweepPaths
from search.program import program
from search.report import looking, parameters, searching, testing
from search.report.charts import COLOURS, Chart, shortened, style
from search.report.page import Block, Picture, Section, Table, Text, render
from search.report.searching import Searched
from search.study import TrialRecord, read_trials
from spaces import RunError, SearchSpace
from trainables.dataset import Dataset
from trainables.files import write_whole
from trainables.listing import SPLITS
from trainables.predict import ModelSpec

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
    config, dataset = load_config(paths), Dataset.read(paths.dataset, paths.split)
    trials = read_trials(paths.journal)
    final = FinalModel.read(paths) if paths.metrics.exists() else None
    tested = None
    if final is not None:
        tested = testing.Tested.of(pd.read_parquet(paths.predictions), dataset.classes)
    with style():
        sections = [_search(config, paths, trials)]
        if final is not None and tested is not None:
            sections.append(_model(paths, dataset, final, tested))
        sections.append(_data(paths, dataset, tested))
    sections.append(_spent(config, paths, dataset, trials))
    lead = _lead(config, dataset, trials, final, tested)
    page = render(f"Finesweep: {paths.root.name}", lead, sections)
    out = out or paths.report
    write_whole(out, lambda partial: partial.write_text(page, encoding="utf-8"))
    return out


def _search(config: SweepConfig, paths: SweepPaths, trials: Sequence[TrialRecord]) -> Section:
    try:
        won = winner(trials, config.metric)
    except RunError as error:
        return Section("The search", (Text(str(error)),))
    space = SearchSpace.load(str(paths.space))
    searched = Searched.of(trials, config.metric, space, won)
    table = columns(trial_table(trials, config.metric), config.metric)
    shown = table.head(RANKED)
    more = f"; trials.csv has all {len(table)}" if len(table) > RANKED else ""
    confirmed = " Confirmed means are over three seeds." if "confirmed_mean" in table else ""
    ranked = Table(
        f"The best trials by {config.metric}{more}.{confirmed}",
        tuple(map(str, shown.columns)),
        tuple(tuple(row) for row in shown.to_numpy().tolist()),
    )
    failed = [trial for trial in trials if trial.status == "failed"]
    blocks: list[Block] = [*searching.pictures(searched), *parameters.pictures(searched), ranked]
    if failed:
        rows = [(trial.trial_id, trial.params.backbone, trial.error) for trial in failed[:RANKED]]
        caption = f"{len(failed)} trials failed; failures/ has their tracebacks."
        blocks.append(Table(caption, ("trial_id", "backbone", "error"), tuple(rows)))
    return Section("The search", tuple(blocks))


def _model(
    paths: SweepPaths, dataset: Dataset, final: FinalModel, tested: testing.Tested
) -> Section:
    features = np.load(paths.features) if paths.features.exists() else None
    blocks = testing.blocks(tested, final, features)
    spec = ModelSpec.of(final.params, dataset.classes)
    model = final.load(paths, len(dataset.classes))
    galleries = [
        looking.mistakes(tested, dataset),
        looking.where_it_looks(tested, dataset, model, spec),
    ]
    found = [gallery for gallery in galleries if gallery is not None]
    if not found:
        blocks.append(
            Text(f"No image is shown: those in {dataset.root} are gone, or are others by now.")
        )
    return Section("The final model", (*blocks, *found))


def _data(paths: SweepPaths, dataset: Dataset, tested: testing.Tested | None) -> Section:
    blocks: list[Block] = [_balance(dataset)]
    suspects = pd.read_csv(paths.bad_images, dtype=str, keep_default_na=False)
    for kind, said in (("bad", "left out"), ("odd", "kept, and deserve a look")):
        some = suspects[suspects["kind"] == kind]
        if len(some):
            rows = tuple(map(tuple, some[["path", "reason"]].head(RANKED).to_numpy().tolist()))
            more = "; bad_images.csv has them all" if len(some) > RANKED else ""
            blocks.append(Table(f"{len(some)} images are {said}{more}.", ("path", "why"), rows))
    if not len(suspects):
        blocks.append(Text("Every image could be read, none is there twice, and none looks odd."))
    if tested is not None and (doubted := looking.doubted_labels(tested, dataset)):
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
        chart.axes.barh(shortened(names), images, left=left, color=colour, label=split)
        left += images
    chart.axes.set(xlabel="images")
    chart.axes.grid(axis="y", visible=False)
    chart.legend()
    most, least = max(whole, key=whole.__getitem__), min(whole, key=whole.__getitem__)
    few = f" The {len(whole) - 30} smallest are left out." if len(whole) > 30 else ""
    return chart.picture(
        f"Images of each class: from {whole[least]} of {least} to {whole[most]} of {most}.",
        f"Images of each class and split; {most} has {whole[most] / whole[least]:.1f} times the "
        f"images of {least}.{few}",
    )


def _spent(
    config: SweepConfig, paths: SweepPaths, dataset: Dataset, trials: Sequence[TrialRecord]
) -> Section:
    rows = [("training of all trials", _hours(sum(trial.seconds for trial in trials)))]
    if paths.profile.exists():
        profile = json.loads(paths.profile.read_text(encoding="utf-8"))
        rows += [(f"wall: {name}", _hours(spent)) for name, spent in profile["stages"].items()]
        rows += [(f"workers: {_WORK[n]}", _hours(s)) for n, s in profile["worker_seconds"].items()]
    known = json.loads(paths.environment.read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {number}" for name, number in known["packages"].items())
    gpus = ", ".join(known["gpus"]) or "none"
    facts = [
        ("Finesweep", f"{known['finesweep']}, commit {known['commit'] or 'unknown'}"),
        ("Python and packages", f"Python {known['python']}, {versions}"),
        ("driver's machine", f"{known['platform']}, {known['cpus']} CPUs, GPUs: {gpus}"),
        ("seed", str(config.seed)),
        ("images", f"fingerprint {dataset.fingerprint}, {dataset.root}"),
        ("space", f"{config.space}, kept in space.json"),
        ("all settings", "sweep.json"),
    ]
    space = str(paths.space)
    again = shlex.join(["launch", *launch_words(config.model_copy(update={"space": space}))])
    return Section(
        "Time and cost, and how to make it again",
        (
            Table("Where the last run's time went.", ("what", "time"), tuple(rows)),
            Table("What the result depends on.", ("what", "here"), tuple(facts)),
            Text(f"Launched again:  {program()} {again}"),
            Text(
                "On other hardware, or with trials side by side, numbers differ a little: which "
                "trial is proposed next depends on which ended first."
            ),
        ),
    )


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _lead(
    config: SweepConfig,
    dataset: Dataset,
    trials: Sequence[TrialRecord],
    final: FinalModel | None,
    tested: testing.Tested | None,
) -> list[str]:
    """What was asked and found, in five sentences."""
    searched = [trial for trial in trials if trial.repeat is None]
    counts = {status: sum(t.status == status for t in searched) for status in ("stopped", "failed")}
    ended = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    images = ", ".join(f"{len(dataset.rows(split))} {split}" for split in SPLITS)
    many = "as many as the budget allows" if config.trials == UNLIMITED else str(config.trials)
    asked = (
        f"Asked for was the best classifier of {len(dataset.classes)} classes on {len(dataset)} "
        f"images ({images}), among {many} trials of the space {Path(config.space).stem}."
    )
    if not searched:
        return [asked, "No trial has begun yet."]
    lead = [
        asked,
        f"{len(searched)} trials of {len({t.params.backbone for t in searched})} backbones have "
        f"begun" + (f" ({ended})" if ended else "") + ", in "
        f"{_hours(sum(trial.seconds for trial in trials))} of training.",
    ]
    if not any(trial.best(config.metric) for trial in searched if trial.status != "failed"):
        return lead
    best = winner(trials, config.metric)
    epoch = best.best(config.metric)
    assert epoch is not None
    value = getattr(epoch, config.metric)
    lead.append(
        f"The best is trial {best.trial_id}: {best.params.backbone} at unfreeze "
        f"{best.params.unfreeze:.3g} has a {config.metric} of {value:.4f}, which is "
        "optimistic, for the best of many was picked by it."
    )
    if final is None or tested is None:
        return [*lead, "No model is retrained and tested yet."]
    low, high = final.test.accuracy_ci95
    lead.append(
        f"Trained again on train and val, trial {final.trial_id} has a test accuracy of "
        f"{final.test.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}) on images that nothing "
        f"was tuned on, where always giving the most frequent class has "
        f"{final.majority_accuracy:.4f}."
    )
    if mixed := testing.mistakes(tested):
        true, taken, count, share = mixed[0]
        lead.append(
            f"Its most frequent mistake is to take {true} for {taken}: {count} images, {share:.0%} "
            f"of that class."
        )
    return lead
