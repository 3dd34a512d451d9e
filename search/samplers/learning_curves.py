"""Learning curves of a study's trials, kept up to date while the study grows.

A finished trial is read once. An update therefore costs time in proportion to the trials that run
and those that are new, not to all of the study.
"""

import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

NEVER_BEGAN = "never_began"
"""User attribute of a failed trial whose driver was killed while it was being proposed.

Its failure says nothing about its parameters.
"""

_KEPT_EPOCHS = {3**k for k in range(12)}
"""Epochs of a curve that are kept beside its last one: those between add little information."""


@dataclass(frozen=True)
class LearningCurve:
    """The metric of one trial by epoch, thinned out."""

    params: Mapping[str, Any]
    """Parameter values of the trial, by name."""
    epochs: Sequence[int]
    """Epochs that are kept, ascending, counted from 1."""
    values: Sequence[float]
    """Metric after each of them, negated if the study minimizes: higher is better."""

    @property
    def best(self) -> float:
        """Highest of the values."""
        return max(self.values)


def best_first(curve: LearningCurve) -> float:
    """Sort key: puts the curve with the highest value first."""
    return -curve.best


class LearningCurves:
    """The learning curves of one study, and the search space that its trials span.

    The space consists of every parameter that any trial has drawn. Trials that lack one of them,
    as a given initial point may, have no curve here. Not for studies of several objectives:
    Optuna then records no value by epoch.
    """

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] = {}
        """Every parameter that was ever drawn, but for those of a single value."""
        self.finished: list[LearningCurve] = []
        """Curves of finished trials, best first."""
        self.running: dict[int, FrozenTrial] = {}
        """Unfinished trials by number, also those without an epoch."""
        self._sign = 1
        self._trials_seen = 0
        self._unfinished: set[int] = set()

    def update(self, study: Study) -> None:
        """Read the trials that are new or were unfinished at the last update."""
        self._sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        trials = study.get_trials(deepcopy=False)
        self._unfinished |= set(range(self._trials_seen, len(trials)))
        self._trials_seen = len(trials)
        changed = [trials[number] for number in sorted(self._unfinished)]
        self._extend_space(changed)
        self.running = {}
        for trial in changed:
            finished = trial.state.is_finished()
            if finished:
                self._unfinished.remove(trial.number)
            if not self._has_all_params(trial.params) or NEVER_BEGAN in trial.user_attrs:
                continue
            if not finished:
                self.running[trial.number] = trial
            elif curve := self.curve_of(trial, trial.intermediate_values):
                insort(self.finished, curve, key=best_first)

    def curve_of(
        self, trial: FrozenTrial, value_by_epoch: Mapping[int, float]
    ) -> LearningCurve | None:
        """The curve of a trial with these metric values; None if it has no value.

        A failed trial gets one epoch more, of value minus infinity.
        """
        last = max(value_by_epoch, default=0)
        epochs = [epoch for epoch in value_by_epoch if epoch == last or epoch in _KEPT_EPOCHS]
        values = [self._sign * value_by_epoch[epoch] for epoch in epochs]
        if trial.state is TrialState.FAIL:
            epochs, values = [*epochs, last + 1], [*values, -math.inf]
        return LearningCurve(trial.params, epochs, values) if epochs else None

    def running_curves(self, *, excluding: int | None = None) -> list[LearningCurve]:
        """Curves of the running trials that have an epoch, but for the trial ``excluding``."""
        others = (trial for number, trial in self.running.items() if number != excluding)
        curves = (self.curve_of(trial, trial.intermediate_values) for trial in others)
        return [curve for curve in curves if curve]

    def _extend_space(self, trials: Sequence[FrozenTrial]) -> None:
        """Add the parameters of these trials, and drop the curves that lack a new one."""
        known = len(self.space)
        for trial in trials:
            self.space |= {n: d for n, d in trial.distributions.items() if not d.single()}
        if len(self.space) > known:
            self.finished = [c for c in self.finished if self._has_all_params(c.params)]

    def _has_all_params(self, params: Mapping[str, Any]) -> bool:
        return self.space.keys() <= params.keys()
