"""`SweepData`: the data of a report, read from disk once; `SearchHistory`: the trials to draw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from search.config import SweepConfig
from search.ranking import select_winner
from search.record import FinalModel, SweepPaths, TrialRecord, load_sweep_config
from spaces import SearchSpace, Value
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.models import Preprocessing
from trainables.training import METRICS

MAX_LINES, BEST_LINES = 500, 100
"""Largest number of trials that charts draw as lines, and how many of these are the best ones."""
MAX_VECTOR_POINTS = 2000
"""Largest number of points that a chart keeps as vector graphics; more are rasterized."""


@dataclass(frozen=True)
class SearchHistory:
    """Trials of a search that are eligible to win, and the space that they were sampled from."""

    trials: tuple[TrialRecord, ...]
    """Trials with a round whose loss is finite, ordered by number. Repeats and failed trials are
    left out."""
    metric: str
    space: SearchSpace
    native_image_size: Mapping[str, int]
    """Native image size of each backbone, in pixels."""
    winner: TrialRecord

    @classmethod
    def of(
        cls,
        trials: Sequence[TrialRecord],
        metric: str,
        space: SearchSpace,
        native_image_size: Mapping[str, int],
    ) -> Self:
        """The history of a sweep, from all its ``trials``. Raises `RunError` if none can win."""
        searched = [t for t in trials if t.repeat is None and t.status != "failed"]
        eligible = tuple(t for t in searched if t.best(metric))
        return cls(eligible, metric, space, native_image_size, select_winner(trials, metric))

    def open_values(self, trial: TrialRecord) -> dict[str, Value]:
        """A trial's values of the space's open fields."""
        return self.space.open_values(trial.params, native_image_size=self.native_image_size)

    def score(self, trial: TrialRecord) -> float:
        """The metric at a trial's best round."""
        best = trial.best(self.metric)
        assert best is not None, "every trial of a history has a round with a finite loss"
        return METRICS[self.metric].of(best)

    @cached_property
    def scores(self) -> np.ndarray:
        """Scores of all trials, ``(trials,)``."""
        return np.array([self.score(trial) for trial in self.trials])

    @property
    def worst_to_best(self) -> np.ndarray:
        """``(trials,)`` indices of the trials from the worst to the best; ties by number."""
        sign = METRICS[self.metric].sign
        return np.argsort(sign * self.scores, kind="stable")

    @property
    def line_indices(self) -> np.ndarray:
        """Indices of the best trials and of a random sample of the others, worst to best.

        Charts draw these trials as lines.
        """
        order, rng = self.worst_to_best, np.random.default_rng(0)
        others = rng.permutation(order[:-BEST_LINES])[: MAX_LINES - BEST_LINES]
        return order[np.isin(order, [*order[-BEST_LINES:], *others])]

    @property
    def line_note(self) -> str:
        """Sentence that says which trials are drawn as lines; empty if all are."""
        drawn = len(self.line_indices)
        if drawn == len(self.trials):
            return ""
        return (
            f" {drawn} of {len(self.trials)} trials are drawn: the best {BEST_LINES}, and others "
            "at random."
        )

    @property
    def rasterized(self) -> bool:
        """Whether charts draw the points as pixels, because there are many."""
        return len(self.trials) > MAX_VECTOR_POINTS

    @property
    def backbones(self) -> list[str]:
        """The backbones that were tried, ordered by their best trials, best first."""
        return list(dict.fromkeys(self.trials[i].params.backbone for i in self.worst_to_best[::-1]))

    @property
    def incomplete_label(self) -> str:
        """Label of the trials that charts draw in grey."""
        running = any(trial.status == "running" for trial in self.trials)
        return "stopped early or still running" if running else "stopped early"

    @property
    def metric_label(self) -> str:
        """The metric in words."""
        return self.metric.replace("val_", "validation ").replace("_", " ")


@dataclass(frozen=True)
class SweepData:
    """Settings, data, trials and final model of a sweep."""

    paths: SweepPaths
    config: SweepConfig
    space: SearchSpace
    dataset: Dataset
    trials: tuple[TrialRecord, ...]
    """All trials, repeats included."""
    final: FinalModel | None
    """The retrained model; None if no model has been retrained yet."""
    predictions: Predictions | None
    """Predictions of the retrained model for the test images; None if ``final`` is None."""

    @classmethod
    def read(cls, paths: SweepPaths, trials: Sequence[TrialRecord]) -> Self:
        """Read a launched sweep, even while it runs; ``trials`` are those of its journal."""
        dataset = Dataset.read(paths.dataset, paths.split)
        final = FinalModel.read(paths) if paths.metrics.exists() else None
        return cls(
            paths=paths,
            config=load_sweep_config(paths),
            space=SearchSpace.load(str(paths.space)),
            dataset=dataset,
            trials=tuple(trials),
            final=final,
            predictions=final.predictions(paths, dataset.classes) if final else None,
        )

    @property
    def searched(self) -> list[TrialRecord]:
        """The trials without the repeats."""
        return [trial for trial in self.trials if trial.repeat is None]

    @property
    def training_seconds(self) -> float:
        """Wall time of all rounds, repeats included."""
        return sum(trial.seconds for trial in self.trials)

    def history(self) -> SearchHistory:
        """The history of the search. Raises `RunError` if no trial can win yet."""
        backbones = {trial.params.backbone for trial in self.trials}
        native_image_size = {name: Preprocessing.of(name).image_size for name in backbones}
        return SearchHistory.of(self.trials, self.config.metric, self.space, native_image_size)
