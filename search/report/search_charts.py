"""Charts of the progress of a search: scores against time and cost, and learning curves."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from matplotlib.ticker import MaxNLocator

from search.record import TrialRecord
from search.report.charts import COLOURS, GREY, Chart
from search.report.html import Picture
from search.report.sweep_data import SearchHistory
from trainables.training import METRICS


def search_pictures(history: SearchHistory) -> list[Picture]:
    """Best score against time and against cost, and the learning curves."""
    return [*_best_against_time(history), _best_against_cost(history), _learning_curves(history)]


def _best_against_cost(history: SearchHistory) -> Picture:
    seconds = np.cumsum([trial.seconds for trial in history.trials])
    return _best_so_far(
        history,
        history.trials,
        seconds,
        "of training",
        "Each point is a trial's best score, at the summed training time of this trial and all "
        "trials before it, without those that have no score.",
    )


def _best_against_time(history: SearchHistory) -> list[Picture]:
    """Chart of scores against wall time, in a list that is empty until two trials have ended."""
    ended = [trial for trial in history.trials if trial.ended is not None]
    if len(ended) < 2:
        return []
    ended.sort(key=lambda trial: (trial.ended or datetime.max, trial.number))
    ends = np.array([trial.ended.timestamp() for trial in ended if trial.ended])
    began = ends[0] - ended[0].seconds
    return [
        _best_so_far(
            history,
            ended,
            ends - began,
            "since the search began",
            "Each point is a trial's best score, at the time when the trial ended. The time of a "
            "resumed sweep includes the pauses between its runs.",
        )
    ]


def _best_so_far(
    history: SearchHistory,
    trials: Sequence[TrialRecord],
    seconds: np.ndarray,
    time_label: str,
    caption: str,
) -> Picture:
    """Chart of the scores of ``trials``, and of the best score so far, against ``seconds``.

    ``seconds`` has the time of each trial, ``(trials,)``, in ascending order.
    """
    chart = Chart()
    unit, seconds_per_unit = ("hours", 3600) if seconds[-1] > 7200 else ("minutes", 60)
    time = seconds / seconds_per_unit
    scores = np.array([history.score(trial) for trial in trials])
    completed = np.array([trial.status == "completed" for trial in trials])
    for chosen, colour, label in (
        (completed, COLOURS[0], "completed"),
        (~completed, GREY, history.incomplete_label),
    ):
        chart.axes.plot(
            time[chosen],
            scores[chosen],
            ".",
            color=colour,
            markersize=7,
            label=label,
            rasterized=history.rasterized,
        )
    higher_is_better = METRICS[history.metric].direction == "max"
    best = (np.maximum if higher_is_better else np.minimum).accumulate(scores)
    chart.axes.step(time, best, where="post", color=COLOURS[5], label="best so far")
    chart.axes.set(xlabel=f"{unit} {time_label}", ylabel=history.metric_label)
    chart.legend()
    return chart.picture(
        f"The best {history.metric_label} so far goes from {best[0]:.4f} with the first trial to "
        f"{best[-1]:.4f} after {time[-1]:.1f} {unit} {time_label}.",
        caption,
    )


def _learning_curves(history: SearchHistory) -> Picture:
    chart, metric = Chart(), METRICS[history.metric]
    for trial in (history.trials[i] for i in history.line_indices):
        points = [(r.epoch, metric.of(r)) for r in trial.reports if not r.diverged]
        epochs, values = zip(*points, strict=True)
        completed, won = trial.status == "completed", trial.number == history.winner.number
        chart.axes.plot(
            epochs,
            values,
            color=COLOURS[5] if won else COLOURS[0] if completed else GREY,
            linewidth=2.4 if won else 1,
            alpha=1 if won else max(0.25, min(0.8, 30 / len(history.trials))),
            zorder=3 if won else 2 if completed else 1,
            marker="." if len(points) == 1 or won else None,
        )
    for label, colour in (
        ("winner", COLOURS[5]),
        ("completed", COLOURS[0]),
        (history.incomplete_label, GREY),
    ):
        chart.axes.plot([], [], color=colour, label=label)
    chart.axes.set(xlabel="epoch", ylabel=history.metric_label)
    has_parts = any(r.round != r.epoch for trial in history.trials for r in trial.reports[-1:])
    chart.axes.xaxis.set_major_locator(MaxNLocator(integer=not has_parts))
    chart.legend()
    stopped = sum(trial.status == "stopped" for trial in history.trials)
    return chart.picture(
        f"Learning curves of {len(history.trials)} trials, {stopped} of them stopped early.",
        f"Learning curves; grey: {history.incomplete_label}.{history.line_note}",
    )
