"""Charts of scores against the parameters of the search space."""

import math
from collections.abc import Sequence

import numpy as np
import optuna
from matplotlib.collections import LineCollection

from search.record import TrialRecord
from search.report.charts import COLOUR_MAP, COLOURS, GREY, MARKERS, Chart, shorten
from search.report.html import Picture
from search.report.sweep_data import SearchHistory
from spaces import Choices, Range
from spaces.wording import counted
from trainables.training import METRICS

MIN_IMPORTANCE_TRIALS = 10
"""Smallest number of trials from which the importance of parameters is estimated."""
MAX_IMPORTANCE_TRIALS = 300
"""Largest number of trials that the estimate uses, to limit its run time."""
MAX_BACKBONES = 16
"""Largest number of backbones in the chart of scores by backbone."""

Ticks = list[tuple[float, str]]
"""Ticks of an axis: positions from 0 to 1, with their labels."""


def parameter_pictures(history: SearchHistory) -> list[Picture]:
    """All charts for which there are enough trials.

    The wide chart comes last, so that the others fill rows of two.
    """
    pictures = [_by_backbone(history)]
    if "unfreeze" in history.space.open:
        pictures.append(_by_unfreeze(history))
    if len(history.trials) >= MIN_IMPORTANCE_TRIALS and len(history.space.open) > 1:
        pictures += _importances(history)
    return [*pictures, _parallel_coordinates(history)] if history.space.open else pictures


def _scaled_values(history: SearchHistory, field: str) -> tuple[np.ndarray, Ticks]:
    """Values ``(trials,)`` of a parameter, scaled to [0, 1], and the ticks of its axis.

    Points given by the user may have values outside the space. Numbers are then drawn at the edge
    of the range, and other values as additional choices.
    """
    values = [history.open_values(trial)[field] for trial in history.trials]
    dimension = history.space.open[field]
    if isinstance(dimension, Choices):
        choices = list(dict.fromkeys([*dimension.choices, *values]))
        step = 1 / max(1, len(choices) - 1)
        names = shorten(list(map(str, choices)), 14)
        ticks = [(i * step, name) for i, name in enumerate(names)]
        return np.array([choices.index(value) * step for value in values]), ticks
    assert isinstance(dimension, Range)
    scale = math.log if dimension.log else float
    low, high = scale(dimension.low), scale(dimension.high)
    numbers = np.clip(np.array(values, dtype=float), dimension.low, dimension.high)
    ends = (math.exp(low), math.exp(high)) if dimension.log else (low, high)
    ticks = [(float(position), f"{value:.3g}") for position, value in enumerate(ends)]
    return np.array([(scale(value) - low) / (high - low) for value in numbers]), ticks


def _parallel_coordinates(history: SearchHistory) -> Picture:
    chart, fields = Chart(wide=True), list(history.space.open)
    low, high = history.scores.min(), history.scores.max()
    columns, ticks = zip(*(_scaled_values(history, field) for field in fields), strict=True)
    scaled_scores = (history.scores - low) / ((high - low) or 1)
    table = np.column_stack([*columns, scaled_scores])
    order = history.line_indices
    best = np.arange(len(order)) >= len(order) - max(1, len(order) // 10)
    higher_is_better = METRICS[history.metric].direction == "max"
    lines = LineCollection(
        [np.column_stack([np.arange(len(fields) + 1), table[i]]) for i in order],
        array=history.scores[order],
        cmap=COLOUR_MAP if higher_is_better else f"{COLOUR_MAP}_r",
        linewidths=np.where(best, 2.0, 0.8),
        alpha=np.where(best, 1.0, 0.45).tolist(),
    )
    chart.axes.add_collection(lines)
    _draw_axes(chart, [*ticks, [(0.0, f"{low:.4f}"), (1.0, f"{high:.4f}")]])
    chart.axes.set_xticks(range(len(fields) + 1), [*fields, history.metric_label], fontsize=9)
    chart.axes.set(yticks=[], xlim=(-0.05, len(fields) + 0.45), ylim=(-0.06, 1.06))
    chart.axes.spines[["left", "bottom"]].set_visible(False)
    chart.axes.grid(False)
    chart.figure.colorbar(lines, ax=chart.axes, label=history.metric_label, pad=0.01)
    top = history.trials[order[-1]].params
    values = ", ".join(f"{field} {_formatted(getattr(top, field))}" for field in fields)
    return chart.picture(
        f"Parallel coordinates of {len(history.trials)} trials over {', '.join(fields)}; the best "
        f"trial has {values}.",
        "Parallel coordinates: each line is a trial; the best tenth is drawn thick."
        f"{history.line_note}{_unused_note(history)}",
    )


def _unused_note(history: SearchHistory) -> str:
    """Sentence on the parameters that some trials do not use; empty if all use all."""
    used_by_all = all(trial.unused.isdisjoint(history.space.open) for trial in history.trials)
    return "" if used_by_all else " A parameter that a trial does not use is drawn at its default."


def _draw_axes(chart: Chart, all_ticks: list[Ticks]) -> None:
    """Draw the vertical axes of parallel coordinates, each with its ticks."""
    for column, ticks in enumerate(all_ticks):
        chart.axes.axvline(column, color="#57606A", linewidth=0.8)
        for position, label in ticks:
            chart.axes.annotate(
                label,
                (column, position),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=8,
                va="center",
                bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
            )


def _formatted(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _by_backbone(history: SearchHistory) -> Picture:
    names, rng = history.backbones[:MAX_BACKBONES][::-1], np.random.default_rng(0)
    chart = Chart(height_inches=max(2.6, 1.4 + 0.34 * len(names)))
    best_scores = []
    for row, name in enumerate(names):
        indices = [i for i, trial in enumerate(history.trials) if trial.params.backbone == name]
        completed = np.array([history.trials[i].status == "completed" for i in indices])
        scores = history.scores[indices]
        heights = row + rng.uniform(-0.22, 0.22, len(indices))
        for chosen, colour in ((~completed, GREY), (completed, COLOURS[0])):
            chart.axes.plot(
                scores[chosen], heights[chosen], ".", color=colour, rasterized=history.rasterized
            )
        best = scores.max() if METRICS[history.metric].direction == "max" else scores.min()
        chart.axes.plot([best, best], [row - 0.35, row + 0.35], color=COLOURS[5], linewidth=2)
        best_scores.append(f"{name} {best:.4f}")
    chart.axes.set_yticks(range(len(names)), shorten(names))
    chart.axes.set(xlabel=history.metric_label)
    return chart.picture(
        f"The best {history.metric_label} by backbone: {', '.join(reversed(best_scores))}.",
        f"Each point is a trial (grey: {history.incomplete_label}); the bar is the backbone's "
        "best score. A backbone with more trials also had more chances of a lucky score."
        f"{_left_out_note(len(history.backbones) - len(names))}",
    )


def _left_out_note(backbones: int) -> str:
    if not backbones:
        return ""
    are = "is" if backbones == 1 else "are"
    return f" {counted(backbones, 'backbone')} with lower best scores {are} left out."


def _by_unfreeze(history: SearchHistory) -> Picture:
    chart, names = Chart(), history.backbones[: len(COLOURS)]
    for name, colour, marker in zip(names, COLOURS, MARKERS, strict=False):
        indices = [i for i, trial in enumerate(history.trials) if trial.params.backbone == name]
        completed = [history.trials[i].status == "completed" for i in indices]
        chart.axes.scatter(
            [history.trials[i].params.unfreeze for i in indices],
            history.scores[indices],
            marker=marker,
            facecolors=[colour if filled else "none" for filled in completed],
            edgecolors=colour,
            rasterized=history.rasterized,
        )
        chart.axes.plot([], [], marker, color=colour, label=shorten([name])[0])
    chart.axes.set(
        xlabel="unfreeze: fraction of parameter groups that train", ylabel=history.metric_label
    )
    chart.axes.set_xlim(-0.02, None)
    chart.legend()
    return chart.picture(
        f"Scores by unfreeze; the winner trains {history.winner.params.unfreeze:.3g} of its "
        "backbone.",
        f"Each point is a trial (hollow: {history.incomplete_label}). At 0, only the head trains."
        f"{_left_out_note(len(history.backbones) - len(names))}",
    )


def _importances(history: SearchHistory) -> list[Picture]:
    """Chart of parameter importances by fANOVA, for the score after an early round.

    Nine in ten trials have reached this round, whereas early stopping ends most trials before their
    last round. Linear probes are left out: they have one round, and most parameters mean nothing to
    them. The list is empty if there are too few trials, or if all have the same score.
    """
    trials = [trial for trial in history.trials if trial.params.head == "trained"]
    lengths = [sum(not r.diverged for r in trial.reports) for trial in trials]
    if not any(lengths):
        return []
    rounds = max(1, int(np.percentile(lengths, 10)))
    epoch = next(t.reports[rounds - 1].epoch for t in trials if len(t.reports) >= rounds)
    study = _importance_study(history, trials, lengths, rounds)
    values = [trial.value for trial in study.trials]
    if len(values) < MIN_IMPORTANCE_TRIALS or len(set(values)) < 2:
        return []
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    names, shares = list(importances)[::-1], list(importances.values())[::-1]
    chart = Chart(height_inches=max(2.6, 1.2 + 0.3 * len(names)))
    chart.axes.barh(names, shares, color=COLOURS[0])
    for row, share in enumerate(shares):
        chart.axes.annotate(
            f"{share:.0%}", (share, row), xytext=(3, 0), textcoords="offset points", va="center"
        )
    label = f"share of the variance of {history.metric_label}"
    chart.axes.set(xlabel=label, xlim=(0, 1.15 * max(shares)))
    chart.axes.grid(axis="y", visible=False)
    listed = ", ".join(f"{name} {share:.0%}" for name, share in importances.items())
    return [
        chart.picture(
            f"Importance of the parameters: {listed}.",
            "Importance of the parameters by fANOVA (Hutter et al. 2014) for the score after epoch "
            f"{epoch:.4g}, over {len(values)} of {counted(len(lengths), 'fine-tune')}. It is only "
            "a hint: the sampler prefers good regions, and early scores need not predict final "
            "ones.",
        )
    ]


def _importance_study(
    history: SearchHistory, trials: Sequence[TrialRecord], lengths: Sequence[int], rounds: int
) -> optuna.Study:
    """Optuna study of at most `MAX_IMPORTANCE_TRIALS` of the trials, drawn at random.

    Trials with fewer ``rounds``, or that have values outside the space, are left out. A
    parameter that a trial does not use has the nearest value to the default.
    ``lengths`` has the number of rounds with a finite loss of each trial.
    """
    space = history.space.open
    distributions = {field: dim.distribution() for field, dim in space.items()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, rng = optuna.create_study(direction="maximize"), np.random.default_rng(0)
    for i in rng.permutation(len(lengths))[:MAX_IMPORTANCE_TRIALS].tolist():
        trial = trials[i]
        params = {
            field: space[field].nearest(value) if field in trial.unused else value
            for field, value in history.open_values(trial).items()
        }
        if lengths[i] >= rounds and all(space[f].contains(value) for f, value in params.items()):
            value = METRICS[history.metric].of(trial.reports[rounds - 1])
            study.add_trial(
                optuna.create_trial(params=params, distributions=distributions, value=value)
            )
    return study
