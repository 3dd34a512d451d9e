"""Text that the commands print: tables, a plan, a comparison, a result."""

import itertools
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from search.config import UNLIMITED_TRIALS, SweepConfig
from search.record import format_duration, program_name, sweep_command
from spaces import TrialParams
from spaces.wording import counted

if TYPE_CHECKING:
    from search.planning import PlanDocument
    from search.ranking import Comparison
    from search.record import FinalModel
    from search.result import SweepResult
    from trainables.data import ExpectedStore

_CELL_BORDER = 3
"""Width of the border and the padding between two cells of a table, in characters."""
_MAX_CLASSES = 8
"""Largest number of classes listed for a split."""
_MAX_LINES = 5
"""Largest number of lines in a list of images or of initial points."""


def print_table(table: pd.DataFrame) -> None:
    """Print a table of strings.

    On a terminal, print the leading columns that fit its width, then the names of the others. In a
    file, print all columns.
    """
    console, text = Console(), table.astype(str)
    widths = [max(cell_len(cell) for cell in [str(name), *text[name]]) for name in text]
    column_ends = list(itertools.accumulate((width + _CELL_BORDER for width in widths), initial=1))
    fitting = len(widths)
    if console.is_terminal:
        fitting = max(min(1, fitting), sum(end <= console.width for end in column_ends[1:]))
    console.width = max(console.width, column_ends[fitting])
    drawn = Table()
    for name in text.columns[:fitting]:
        drawn.add_column(str(name), no_wrap=True)
    for row in text.iloc[:, :fitting].to_numpy().tolist():
        drawn.add_row(*row)
    console.print(drawn)
    if left_out := [str(name) for name in table.columns[fitting:]]:
        console.print(f"A wider terminal, or trials.csv, shows {', '.join(left_out)} too.")


def print_comparison(comparison: "Comparison") -> None:
    """Print a row for each sweep, and McNemar's tests between the final models."""
    sweeps = comparison.sweeps
    text = sweeps.astype(object).where(sweeps.notna(), "")
    for name in sweeps.select_dtypes("float").columns:
        text[name] = [f"{value:.4g}" if value != "" else "" for value in text[name]]
    print_table(text)
    for mcnemar_test in comparison.mcnemar_tests:
        Console().print(str(mcnemar_test), soft_wrap=True, highlight=False, markup=False)


def plan_text(plan: "PlanDocument") -> str:
    """The plan as text."""
    return "\n".join(
        [
            *_data_lines(plan),
            *_issue_lines(plan),
            f"Ranked by   {plan.metric}; the most frequent class has {plan.unevenness:.1f} times "
            "the training images of the rarest",
            f"Space       {plan.space}: {', '.join(plan.open) or 'every parameter is fixed'}",
            *_dependency_lines(plan),
            *_initial_points_lines(plan.points, plan.open),
            *_backbone_lines(plan),
            _pixels_line(plan),
            *_round_lines(plan),
            _cost_line(plan),
        ]
    )


def _dependency_lines(plan: "PlanDocument") -> list[str]:
    """The parameters whose values depend on others."""
    return [f"  {f} depends on {', '.join(others)}" for f, others in plan.dependencies.items()]


def _data_lines(plan: "PlanDocument") -> list[str]:
    """The source, the images of each split and class, and how the split was made."""
    lines = [f"Data        {plan.data}: {plan.kind}"]
    for split, counts in plan.counts.items():
        classes = ", ".join(f"{name} {n}" for name, n in list(counts.items())[:_MAX_CLASSES])
        more = len(counts) - _MAX_CLASSES
        rest = f", and {more} more classes" if more > 0 else ""
        lines.append(f"  {split:<9} {counted(sum(counts.values()), 'image')}: {classes}{rest}")
    lines.append(f"Split       {plan.split}")
    if plan.folds:
        images = sum(sum(plan.counts[split].values()) for split in ("train", "val"))
        lines.append(
            f"Folds       each trial trains {plan.folds} times, each time without one fold of the "
            f"{images} train and val images, and is validated on that fold"
        )
    return lines


def _issue_lines(plan: "PlanDocument") -> list[str]:
    """Files and rows that are not used, notes, and images that are left out or look wrong."""
    lines = [f"Not used    {u}" for u in plan.unused]
    lines += [f"Note        {note}" for note in plan.notes]
    for title, issues in (("Left out", plan.bad_images), ("Suspicious", plan.odd_images)):
        lines.append(f"{title:<11} {counted(len(issues), 'image')}")
        lines += [f"  {issue.path}: {issue.reason}" for issue in issues[:_MAX_LINES]]
        if len(issues) > _MAX_LINES:
            lines.append(f"  and {len(issues) - _MAX_LINES} more; --json lists them all")
    return lines


def _initial_points_lines(points: Sequence[TrialParams], varying: Iterable[str]) -> list[str]:
    """The trials that a sweep begins with; backbones with the same values share a line."""
    backbones: dict[str, list[str]] = {}
    fields = [field for field in varying if field != "backbone"]
    for point in points:
        values = ", ".join(f"{field} {_short(getattr(point, field))}" for field in fields)
        backbones.setdefault(values, []).append(point.backbone)
    lines = [f"Begins with {counted(len(points), 'trial')}"] * bool(points)
    for values, names in list(backbones.items())[:_MAX_LINES]:
        lines.append(f"  {', '.join(dict.fromkeys(names))}" + f": {values}" * bool(values))
    if len(backbones) > _MAX_LINES:
        lines.append(f"  and {len(backbones) - _MAX_LINES} more settings; --json lists them all")
    return lines


def _short(value: object) -> str:
    return format(value, ".4g") if isinstance(value, int | float) else str(value)


def _backbone_lines(plan: "PlanDocument") -> list[str]:
    lines = []
    for facts in plan.backbones:
        shares = ", ".join(
            f"{fraction}: {share:.1%}" for fraction, share in facts.trainable_share.items()
        )
        lines += [
            f"Backbone    {facts.backbone}, {facts.image_size} px, "
            f"{facts.parameters / 1e6:.1f} M parameters in {facts.groups} groups",
            f"  weights   {facts.weights}, {facts.licence}",
            f"  trains    at unfreeze {shares}",
            f"  speed     {facts.train_images_per_second:.0f} training images/s on one "
            f"{plan.cost.device}",
        ]
    return lines


def _pixels_line(plan: "PlanDocument") -> str:
    """The room that decoded images take, and the form of each size if it is too little."""
    line = f"Pixels      {_short_count(plan.decoded_gib)} GiB if all images are decoded"
    if all(store.form == "decoded" for store in plan.stores):
        return line
    forms = "; ".join(map(_form_of_images, plan.stores))
    return (
        f"{line}, more than cache_gib ({plan.cache_gib:g}), so {forms}. Raise cache_gib to decode "
        "more once"
    )


def _form_of_images(store: "ExpectedStore") -> str:
    """The form in which the images of a size are kept."""
    gib = f"{_short_count(store.size_bytes / 2**30)} GiB"
    if store.form == "decoded":
        return f"{store.image_size} px are decoded ({gib})"
    if store.form == "compressed":
        return f"{store.image_size} px are compressed as JPEGs (about {gib})"
    return f"{store.image_size} px are decoded anew in every epoch"


def _round_lines(plan: "PlanDocument") -> list[str]:
    """The rounds of an epoch, if it has several."""
    rounds = plan.cost.rounds_per_epoch
    if rounds == 1:
        return []
    return [
        f"Rounds      about {rounds} in an epoch, each of {plan.cost.round_images} training images "
        f"and scored on {plan.cost.val_images} validation images"
    ]


def _short_count(number: float) -> str:
    """A count without decimals, or with two significant digits below 10."""
    return f"{number:.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def _cost_line(plan: "PlanDocument") -> str:
    cost = plan.cost
    if cost.trials == UNLIMITED_TRIALS:
        per_trial = format_duration(3600 * cost.device_hours / UNLIMITED_TRIALS)
        time = f"about {per_trial} of one {cost.device} per trial, until the budget is spent"
    else:
        time = (
            f"about {format_duration(3600 * cost.device_hours)} of one {cost.device}: "
            f"{counted(cost.trials, 'trial')}, "
            f"{_short_count(cost.expected_epochs)} epochs in total"
        )
    return f"Cost        {time} (measured on {cost.measured_on})"


def result_text(result: "SweepResult", config: SweepConfig) -> str:
    """The outcome of a sweep, the paths of its files, and commands to run next."""
    lines = [*_ending_lines(result, config)]
    if result.final is not None:
        lines += _test_lines(result.final, config)
    return "\n".join([*lines, *_file_lines(result), *_next_lines(result, config)])


def _ending_lines(result: "SweepResult", config: SweepConfig) -> list[str]:
    """The reason why the search ended early, if it did, and the commands that continue it."""
    paths, lines = result.paths, []
    if result.unfinished or result.unconfirmed:
        lines += [
            f"Stopped early: {_missing(result, config)}; finished work is kept in {paths.root}.",
            f"Go on:  {sweep_command('resume', paths)}",
            f"Or retrain and export the best trial so far:  {sweep_command('retrain', paths)}",
        ]
    if result.ended_by:
        lines.append(
            f"The search ended after {counted(len(result.trials), 'trial')}: {result.ended_by}."
        )
    return lines


def _missing(result: "SweepResult", config: SweepConfig) -> str:
    """The unfinished part of an interrupted sweep."""
    if result.unconfirmed:
        return f"{result.unconfirmed} repeats of the best trials did not finish"
    if config.trials == UNLIMITED_TRIALS:
        return "the budget is not spent yet"
    return f"{result.unfinished} of {config.trials} trials did not finish"


def _test_lines(final: "FinalModel", config: SweepConfig) -> list[str]:
    """The test result of the final model, and the winner's validation score."""
    test, winner = final.test, final.winner
    low, high = test.accuracy_ci95
    return [
        f"Test accuracy {test.accuracy:.4f} (95% interval {low:.4f} to {high:.4f}); "
        f"always predicting the most frequent class gives {final.majority_accuracy:.4f}.",
        *([str(final.probe)] if final.probe else []),
        f"Trial {winner.trial_id} had {winner.val_accuracy:.4f} in "
        f"{'cross-validation' if config.folds else 'validation'}. "
        "Scores of a search are optimistic; the test result is not.",
        *_composition_lines(final, config),
    ]


def _composition_lines(final: "FinalModel", config: SweepConfig) -> list[str]:
    """Outcome of ensembling, calibration and sensitivity, for those that the settings ask for."""
    lines = []
    if len(final.members) > 1:
        weights = ", ".join(f"{m.trial_id} ({m.weight:.2f})" for m in final.members)
        lines.append(f"Ensemble      the mean of trials {weights}")
    elif config.ensemble > 1:
        lines.append("Ensemble      none: no ensemble was better than the winner in validation")
    if final.flips != "none":
        views = "image" if final.flips == "horizontal" else "images"
        lines.append(f"Flips         the mean over the image and its mirror {views}")
    if config.calibrate:
        temperatures = ", ".join(f"{m.temperature:.2f} (trial {m.trial_id})" for m in final.members)
        lines.append(f"Calibrated    logits divided by {temperatures}")
    if final.rates is not None:
        for name, value, (low, high) in final.rates.rows:
            lines.append(f"In the test   {name}: {value:.4f} ({low:.4f} to {high:.4f})")
    return lines


def _file_lines(result: "SweepResult") -> list[str]:
    """Paths of the files of a sweep, and its time by stage."""
    paths, lines = result.paths, []
    if result.report is not None:
        lines.append(f"Report        {result.report}")
    has_trained = result.profile is None or result.profile.worker_seconds.train > 0
    if not (has_trained or result.unfinished or result.unconfirmed or result.ended_by):
        more = sweep_command("resume", paths, "--trials", "N")
        lines.append(f"No trial was left to run. To run more:  {more}")
    lines.append(f"Leaderboard   {paths.leaderboard}")
    lines.append(f"TensorBoard   {paths.tensorboard}")
    if result.final is not None:
        lines += [f"Test          {paths.metrics}", f"Predictions   {paths.predictions}"]
    if result.export is not None:
        lines.append(f"Export        {result.export}")
    if result.profile is not None:
        lines.append(f"Time          {result.profile}")
    return lines


def _next_lines(result: "SweepResult", config: SweepConfig) -> list[str]:
    """Commands that the user may want to run next."""
    paths = result.paths
    lines = ["Next:", f"  {sweep_command('compare', paths, '--tensorboard')}"]
    if result.export is not None:
        if {"timm", "pt2", "onnx"} & set(config.export.formats):  # formats that predict loads
            words = shlex.join(["predict", str(result.export), "IMAGES", "--top", "3"])
            lines.append(f"  {program_name()} {words}")
        lines.append(f"  {sweep_command('retrain', paths, '--trial', 'ID')}")
    return lines
