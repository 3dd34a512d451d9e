"""What the commands say to people."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from search.config import UNLIMITED, SweepConfig
from search.record import command, program, took

if TYPE_CHECKING:
    from search.ranking import Comparison
    from search.record import FinalModel
    from search.result import SweepResult


_BORDER = 3
"""Characters between two cells of a table."""


def print_table(table: pd.DataFrame) -> None:
    """A table of strings: on a terminal as many columns as fit, else all of them."""
    console, shown = Console(), table.astype(str)
    cells = [max(cell_len(cell) for cell in [str(name), *shown[name]]) for name in shown]
    ends = list(itertools.accumulate((width + _BORDER for width in cells), initial=1))
    fit = len(cells)
    if console.is_terminal:
        fit = max(min(1, fit), sum(end <= console.width for end in ends[1:]))
    console.width = max(console.width, ends[fit])
    drawn = Table()
    for name in shown.columns[:fit]:
        drawn.add_column(str(name), no_wrap=True)
    for row in shown.iloc[:, :fit].to_numpy().tolist():
        drawn.add_row(*row)
    console.print(drawn)
    if left_out := [str(name) for name in table.columns[fit:]]:
        console.print(f"A wider terminal, or trials.csv, shows {', '.join(left_out)} too.")


def comparison_words(compared: "Comparison") -> None:
    """What each of several sweeps came to, and which final model is better."""
    sweeps = compared.sweeps
    numbers = sweeps.select_dtypes("float").columns
    told = sweeps.astype(object).where(sweeps.notna(), "")
    for name in numbers:
        told[name] = [f"{value:.4g}" if value != "" else "" for value in told[name]]
    print_table(told)
    for mcnemar_test in compared.mcnemar_tests:
        Console().print(str(mcnemar_test), soft_wrap=True, highlight=False, markup=False)


def plan_words(plan: dict[str, Any]) -> str:
    """The plan's document as text."""
    lines = [f"Data        {plan['data']}: {plan['kind']}"]
    for split, counts in plan["counts"].items():
        parts = ", ".join(f"{name} {n}" for name, n in list(counts.items())[:8])
        more = f", and {len(counts) - 8} more classes" if len(counts) > 8 else ""
        lines.append(f"  {split:<9} {sum(counts.values())} images: {parts}{more}")
    lines.append(f"Split       {plan['split']}")
    if folds := plan["folds"]:
        images = sum(sum(plan["counts"][split].values()) for split in ("train", "val"))
        lines.append(
            f"Folds       each trial trains {folds} times, without a fold of the {images} train "
            "and val images at a time, and is scored on all of them"
        )
    for reason, count in plan["ignored"].items():
        lines.append(f"Ignored     {count} {reason}")
    lines += [f"Note        {note}" for note in plan["notes"]]
    for kind, title in (("bad_images", "Left out"), ("odd_images", "Suspicious")):
        found = plan[kind]
        lines.append(f"{title:<11} {len(found)} images")
        lines += [f"  {s['path']}: {s['reason']}" for s in found[:5]]
        if len(found) > 5:
            lines.append(f"  and {len(found) - 5} more; --json lists them all")
    lines.append(
        f"Ranked by   {plan['metric']}; the most frequent class has {plan['unevenness']:.1f} times "
        "the training images of the rarest"
    )
    lines.append(f"Space       {plan['space']}: {', '.join(plan['open']) or 'everything is fixed'}")
    lines += _first_trials(plan["points"], plan["open"])
    for fact in plan["backbones"]:
        shares = ", ".join(
            f"{level}: {share:.1%}" for level, share in fact["trainable_share"].items()
        )
        lines += [
            f"Backbone    {fact['backbone']}, {fact['image_size']} px, "
            f"{fact['parameters'] / 1e6:.1f} M parameters in {fact['groups']} groups",
            f"  weights   {fact['weights']}",
            f"  trains    at unfreeze {shares}",
            f"  speed     {fact['train_images_per_second']:.0f} training images/s on one core",
        ]
    cost = plan["cost"]
    if cost["trials"] == UNLIMITED:
        each = took(3600 * cost["core_hours"] / UNLIMITED)
        spent = f"about {each} of one core a trial, until the budget is spent"
    else:
        spent = (
            f"about {took(3600 * cost['core_hours'])} of one core: {cost['trials']} trials, "
            f"{cost['expected_epochs']:.0f} epochs in all"
        )
    lines.append(f"Cost        {spent} (measured on {cost['measured_on']})")
    return "\n".join(lines)


def _first_trials(points: Sequence[Mapping[str, Any]], fields: Iterable[str]) -> list[str]:
    """What a sweep begins with, backbones of the same values in one line."""
    backbones: dict[str, list[str]] = {}
    for point in points:
        some = {field: point[field] for field in fields if field != "backbone"}
        values = [f"{f} {v if isinstance(v, str) else format(v, '.4g')}" for f, v in some.items()]
        backbones.setdefault(", ".join(values), []).append(point["backbone"])
    lines = [f"Begins with {len(points)} trials"] * bool(points)
    for said, alike in list(backbones.items())[:5]:
        lines.append(f"  {', '.join(dict.fromkeys(alike))}" + f": {said}" * bool(said))
    if len(backbones) > 5:
        lines.append(f"  and others in {len(backbones) - 5} ways; --json lists them all")
    return lines


def _unfinished(result: "SweepResult", config: SweepConfig) -> str:
    if result.unconfirmed:
        return f"{result.unconfirmed} repeats of the best trials did not finish"
    if config.trials == UNLIMITED:
        return "the budget is not spent yet"
    return f"{result.unfinished} of {config.trials} trials did not finish"


def _made_of(final: "FinalModel", config: SweepConfig) -> list[str]:
    """What became of an ensemble, a calibration and a sensitivity that were asked for."""
    lines = []
    if len(final.members) > 1:
        shares = ", ".join(f"{m.trial_id} ({m.weight:.2f})" for m in final.members)
        lines.append(f"Ensemble      the mean of trials {shares}")
    elif config.ensemble > 1:
        lines.append("Ensemble      none: none was found that does better in validation")
    if config.calibrate:
        by = ", ".join(f"{m.trial_id} by {m.temperature:.2f}" for m in final.members)
        lines.append(f"Calibrated    logits divided, of trial {by}")
    if final.rates is not None:
        for name, value, (low, high) in final.rates.rows:
            lines.append(f"In the test   {name}: {value:.4f} ({low:.4f} to {high:.4f})")
    return lines


def result_words(result: "SweepResult", config: SweepConfig) -> str:
    """What came out, where it lies, and what to do next."""
    paths, lines = result.paths, []
    if result.unfinished or result.unconfirmed:
        lines += [
            f"Stopped early: {_unfinished(result, config)}; what did is kept in {paths.root}.",
            f"Go on:  {command('resume', paths)}",
            f"Or hand over the best so far:  {command('retrain', paths)}",
        ]
    if result.ended_by:
        lines.append(f"The search ended after {len(result.trials)} trials: {result.ended_by}.")
    if result.final is not None:
        test, best = result.final.test, result.final.winner
        low, high = test.accuracy_ci95
        lines += [
            f"Test accuracy {test.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}); "
            f"the constant answer has {result.final.majority_accuracy:.4f}.",
            f"Trial {best.trial_id} had {best.val_accuracy:.4f} in "
            f"{'cross-validation' if config.folds else 'validation'}: "
            "scores of a search are optimistic, the test is the honest one.",
            *_made_of(result.final, config),
        ]
    if result.report is not None:
        lines.append(f"Report        {result.report}")
    ran = result.profile is None or result.profile.worker_seconds.train > 0
    if not (ran or result.unfinished or result.unconfirmed or result.ended_by):
        more = command("resume", paths, "--trials N")
        lines.append(f"No trial was left to run. More of them:  {more}")
    lines.append(f"Leaderboard   {paths.leaderboard}")
    lines.append(f"TensorBoard   {paths.tensorboard}")
    if result.final is not None:
        lines += [f"Test          {paths.metrics}", f"Predictions   {paths.predictions}"]
    if result.export is not None:
        lines.append(f"Export        {result.export}")
    if result.profile is not None:
        lines.append(f"Time          {result.profile}")
    lines += ["Next:", f"  {command('compare', paths, '--tensorboard')}"]
    if result.export is not None:
        lines += [
            f"  {program()} predict {result.export} IMAGES --top 3",
            f"  {command('retrain', paths, '--trial ID')}",
        ]
        if not {"timm", "pt2", "onnx"} & set(config.export.formats):
            del lines[-2]  # predict opens those three
    return "\n".join(lines)
