"""Charts of a search as it went: its trials against time, cost and epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
from matplotlib.ticker import MaxNLocator

from search.ranking import select_winner
from search.record import TrialRecord
from search.report.charts import COLOURS, GREY, Chart
from search.report.html import Picture
from spaces import SearchSpace
from trainables.training import METRICS

LINES, BEST = 500, 100
"""Of a long search so many trials are drawn as lines, the best among them."""
POINTS = 2000
"""More points than this are drawn as pixels."""


@dataclass(frozen=True)
class Searched:
    """The trials of a search that can win, and what they were asked for."""

    trials: tuple[TrialRecord, ...]
    """By number, each with a finite epoch; repeats and failed ones are left out."""
    metric: str
    space: SearchSpace
    native_image_size: Mapping[str, int]
    """Each backbone's own input side in pixels."""
    winner: TrialRecord

    @classmethod
    def of(
        cls,
        trials: Sequence[TrialRecord],
        metric: str,
        space: SearchSpace,
        native_image_size: Mapping[str, int],
    ) -> "Searched":
        """Of all trials of a sweep. Raises `RunError` if none can win."""
        searched = [t for t in trials if t.repeat is None and t.status != "failed"]
        able = tuple(t for t in searched if t.best(metric))
        return cls(able, metric, space, native_image_size, select_winner(trials, metric))

    def drawn(self, trial: TrialRecord) -> dict[str, object]:
        """A trial's open values as the sampler draws them; those that it can't are left out."""
        return self.space.drawn(trial.params, native_image_size=self.native_image_size)

    @cached_property
    def scores(self) -> np.ndarray:
        """``(trials,)`` of the metric at each one's best epoch."""
        return np.array([self.score(trial) for trial in self.trials])

    def score(self, trial: TrialRecord) -> float:
        """The metric at a trial's best epoch."""
        best = trial.best(self.metric)
        assert best is not None  # the trials that are shown have a finite epoch
        return METRICS[self.metric].of(best)

    @property
    def order(self) -> np.ndarray:
        """Trials from the worst to the best."""
        sign = METRICS[self.metric].sign
        return np.argsort(sign * self.scores, kind="stable")

    @property
    def some(self) -> np.ndarray:
        """Trials that lines are drawn of, from the worst to the best: the best, and others."""
        order, rng = self.order, np.random.default_rng(0)
        others = rng.permutation(order[:-BEST])[: LINES - BEST]
        return order[np.isin(order, [*order[-BEST:], *others])]

    @property
    def sampled(self) -> str:
        """A sentence, if these are not all."""
        drawn = len(self.some)
        few = f" Of {len(self.trials)} trials {drawn} are drawn: the best {BEST}, others at random."
        return few if drawn < len(self.trials) else ""

    @property
    def many(self) -> bool:
        """Whether points are drawn as pixels."""
        return len(self.trials) > POINTS

    @property
    def backbones(self) -> list[str]:
        """That were tried, those of the best trials first."""
        return list(dict.fromkeys(self.trials[i].params.backbone for i in self.order[::-1]))

    @property
    def short(self) -> str:
        """What is said of trials that have not run to their end."""
        running = any(trial.status == "running" for trial in self.trials)
        return "ended early" + ", or still running" * running

    @property
    def said(self) -> str:
        """The metric in words."""
        return self.metric.replace("val_", "validation ").replace("_", " ")


def pictures(searched: Searched) -> list[Picture]:
    """The search as it went."""
    return [*_best_against_time(searched), _best_against_cost(searched), _curves(searched)]


def _best_against_cost(searched: Searched) -> Picture:
    seconds = np.cumsum([trial.seconds for trial in searched.trials])
    return _best_against(
        searched.trials,
        seconds,
        searched,
        "of training",
        "at the training time that it took with those begun before it.",
    )


def _best_against_time(searched: Searched) -> list[Picture]:
    ended = [trial for trial in searched.trials if trial.ended is not None]
    if len(ended) < 2:
        return []
    ended.sort(key=lambda trial: trial.ended or datetime.max)
    ends = np.array([trial.ended.timestamp() for trial in ended if trial.ended])
    began = ends[0] - ended[0].seconds
    return [
        _best_against(
            ended,
            ends - began,
            searched,
            "since the search began",
            "when it ended; a sweep that was resumed has its pauses in it.",
        )
    ]


def _best_against(
    trials: Sequence[TrialRecord],
    seconds: np.ndarray,
    searched: Searched,
    what: str,
    caption: str,
) -> Picture:
    """Trials at some seconds, ascending, and the best so far."""
    chart = Chart()
    better = np.maximum if METRICS[searched.metric].direction == "max" else np.minimum
    scores = np.array([searched.score(trial) for trial in trials])
    unit, per = ("hours", 3600) if seconds[-1] > 7200 else ("minutes", 60)
    whole = np.array([trial.status == "completed" for trial in trials])
    for among, colour, name in (
        (whole, COLOURS[0], "ran to its end"),
        (~whole, GREY, searched.short),
    ):
        chart.axes.plot(
            seconds[among] / per,
            scores[among],
            ".",
            color=colour,
            markersize=7,
            label=name,
            rasterized=searched.many,
        )
    best = better.accumulate(scores)
    chart.axes.step(seconds / per, best, where="post", color=COLOURS[5], label="best so far")
    chart.axes.set(xlabel=f"{unit} {what}", ylabel=searched.said)
    chart.legend()
    return chart.picture(
        f"The best {searched.said} so far goes from {best[0]:.4f} with the first trial to "
        f"{best[-1]:.4f} after {seconds[-1] / per:.1f} {unit} {what}.",
        f"Each point is a trial with its best epoch, {caption}",
    )


def _curves(searched: Searched) -> Picture:
    chart = Chart()
    for trial in (searched.trials[i] for i in searched.some):
        points = [
            (r.epoch, METRICS[searched.metric].of(r)) for r in trial.reports if not r.diverged
        ]
        epochs, values = zip(*points, strict=True)
        whole, won = trial.status == "completed", trial.number == searched.winner.number
        chart.axes.plot(
            epochs,
            values,
            color=COLOURS[5] if won else COLOURS[0] if whole else GREY,
            linewidth=2.4 if won else 1,
            alpha=1 if won else max(0.25, min(0.8, 30 / len(searched.trials))),
            zorder=3 if won else 2 if whole else 1,
            marker="." if len(points) == 1 or won else None,
        )
    for name, colour in (("winner", 5), ("ran to its end", 0)):
        chart.axes.plot([], [], color=COLOURS[colour], label=name)
    chart.axes.plot([], [], color=GREY, label=searched.short)
    chart.axes.set(xlabel="epoch", ylabel=searched.said)
    chart.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    chart.legend()
    ended = sum(trial.status == "stopped" for trial in searched.trials)
    return chart.picture(
        f"Learning curves of {len(searched.trials)} trials, of which {ended} were stopped early.",
        f"Learning curves; those of trials that {searched.short} are grey.{searched.sampled}",
    )
