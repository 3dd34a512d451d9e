"""Table of the rivals: accuracies by image set, and how far Finesweep is from the best of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from tests.benchmarks.rivals.protocol import Answer
from tests.benchmarks.rivals.split import Score

OURS = "Finesweep"


@dataclass(frozen=True)
class Outcome:
    """What a contestant made of one split of an image set."""

    image_set: str
    contestant: str
    seed: int
    answer: Answer | None = None
    score: Score | None = None
    """Scores of the answer; None if there is none."""
    reason: str = ""
    """Why there is no answer."""


_OUTCOMES = TypeAdapter(Outcome)


def read_outcomes(file: Path) -> list[Outcome]:
    """Outcomes of earlier calls; none if there is no file."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [_OUTCOMES.validate_json(line) for line in lines]


def add_outcomes(file: Path, outcomes: Sequence[Outcome]) -> None:
    """Add the outcomes of a race to those of earlier ones."""
    with file.open("ab") as opened:
        opened.writelines(_OUTCOMES.dump_json(outcome) + b"\n" for outcome in outcomes)


def table_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines of the accuracies with their margins, of all runs, and of the rivals' versions."""
    sets = list(dict.fromkeys(outcome.image_set for outcome in outcomes))
    contestants = list(dict.fromkeys([OURS, *(outcome.contestant for outcome in outcomes)]))
    runs = {
        (s, c): [o for o in outcomes if (o.image_set, o.contestant) == (s, c)]
        for s in sets
        for c in contestants
    }
    means = {key: _mean_accuracy(runs[key]) for key in runs}
    return [
        *_margin_lines(means, sets, contestants),
        "",
        "| set | | test accuracy | balanced accuracy | wall seconds | final model of each seed |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            _run_line(image_set, contestant, runs[image_set, contestant])
            for image_set, contestant in runs
        ),
        "",
        *_version_lines(outcomes),
    ]


def _mean_accuracy(runs: Sequence[Outcome]) -> float | None:
    """Mean test accuracy over the seeds; None if a seed has no answer."""
    values = [run.score.accuracy for run in runs if run.score]
    return statistics.mean(values) if values and len(values) == len(runs) else None


def _margin_lines(
    means: dict[tuple[str, str], float | None], sets: Sequence[str], contestants: Sequence[str]
) -> list[str]:
    """Table of mean accuracies by set, with Finesweep's margin over the best rival in points."""
    lines = [
        f"| mean test accuracy | {' | '.join(contestants)} | {OURS} minus the best rival, points |",
        "| --- |" + " --- |" * (len(contestants) + 1),
    ]
    margins: dict[str, float] = {}
    for image_set in sets:
        ours = means[image_set, OURS]
        rivals = [means[image_set, name] for name in contestants if name != OURS]
        answered = [mean for mean in rivals if mean is not None]
        if ours is not None and answered:
            margins[image_set] = 100 * (ours - max(answered))
        cells = [_cell(means[image_set, name]) for name in contestants]
        margin = f"{margins[image_set]:+.1f}" if image_set in margins else "-"
        lines.append(f"| {image_set} | {' | '.join(cells)} | {margin} |")
    totals = []
    for name in contestants:
        column = [mean for image_set in sets if (mean := means[image_set, name]) is not None]
        totals.append(_cell(statistics.mean(column) if len(column) == len(sets) else None))
    margin = f"{statistics.mean(margins.values()):+.1f}" if margins else "-"
    lines.append(f"| mean | {' | '.join(totals)} | {margin} |")
    if margins:
        worst = min(margins, key=margins.__getitem__)
        lines += ["", f"The worst margin is {margins[worst]:+.1f} points, on {worst}."]
    return lines


def _cell(mean: float | None) -> str:
    return "-" if mean is None else f"{mean:.3f}"


def _run_line(image_set: str, contestant: str, runs: Sequence[Outcome]) -> str:
    """Row of all seeds of a contestant on a set."""
    scores = [run.score for run in runs if run.score]
    answers = [run.answer for run in runs if run.answer]
    models = "; ".join(
        run.answer.chosen if run.answer else f"not run: {run.reason}" for run in runs
    )
    if not answers:
        return f"| {image_set} | {contestant} | - | - | - | not run: {runs[0].reason} |"
    cells = [
        _mean_and_range([score.accuracy for score in scores], 3),
        _mean_and_range([score.balanced_accuracy for score in scores], 3),
        _mean_and_range([answer.seconds for answer in answers], 0),
    ]
    return f"| {image_set} | {contestant} | {' | '.join(cells)} | {models} |"


def _mean_and_range(values: Sequence[float], digits: int) -> str:
    low, mean, high = min(values), statistics.mean(values), max(values)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _version_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Versions of the packages of each rival."""
    versions = {run.contestant: run.answer.versions for run in outcomes if run.answer}
    texts = [
        f"{name}: {', '.join(f'{package} {number}' for package, number in packages.items())}"
        for name, packages in versions.items()
        if packages
    ]
    return [f"Versions: {'; '.join(texts)}."] if texts else []
