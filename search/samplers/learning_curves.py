"""Learning curves of a study's trials, kept up to date while the study grows.

A finished trial is read once. So the time of an update grows with the number of running and new
trials, not with the size of the study.
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

from search.samplers.unit_cube import NamesAt

NEVER_BEGAN = "never_began"
"""User attribute of a failed trial whose driver was killed before it recorded the parameters.

The failure of such a trial says nothing about its parameters.
"""

BASELINE = "baseline"
"""User attribute of a linear probe. Its score says nothing about the parameters that are recorded
for it: those of a trained head."""

_KEPT_ROUNDS = {3**k for k in range(12)}
"""Rounds of a curve that are kept, beside the last one: the others add little information."""


@dataclass(frozen=True)
class LearningCurve:
    """The metric of one trial after some of its rounds."""

    params: Mapping[str, Any]
    """Parameter values of the trial, by name."""
    rounds: Sequence[int]
    """Rounds that are kept, ascending, counted from 1."""
    values: Sequence[float]
    """Metric after each kept round, negated if the study minimizes: higher is better."""
    number: int
    """Number of the trial in the study."""

    @property
    def best(self) -> float:
        """Highest of the values."""
        return max(self.values)


def best_first(curve: LearningCurve) -> float:
    """Sort key: puts the curve with the highest value first."""
    return -curve.best


class LearningCurves:
    """The learning curves of one study, and the search space of its trials.

    The space consists of every parameter that any trial has. A trial that lacks one of the
    parameters that its point uses, as an initial point may, has no curve here, nor has a
    `BASELINE`. Studies with several objectives are not supported: Optuna records no values of
    single rounds for them.

    Args:
        names_at: Parameters that a point uses; None if every point uses all.
    """

    def __init__(self, names_at: NamesAt | None = None) -> None:
        self._names_at = names_at
        self.space: dict[str, BaseDistribution] = {}
        """Distribution of every parameter of any trial, by name, except those of a single value."""
        self.finished: list[LearningCurve] = []
        """Curves of finished trials, best first."""
        self.running: dict[int, FrozenTrial] = {}
        """Unfinished trials that have every parameter, by number; some may have no round yet."""
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
            says_nothing = NEVER_BEGAN in trial.user_attrs or BASELINE in trial.user_attrs
            if says_nothing or not self._has_all_params(trial.params):
                continue
            if not finished:
                self.running[trial.number] = trial
            elif curve := self.curve_of(trial, trial.intermediate_values):
                insort(self.finished, curve, key=best_first)

    def curve_of(
        self, trial: FrozenTrial, value_by_round: Mapping[int, float]
    ) -> LearningCurve | None:
        """The curve of a trial with this metric after each round; None if no round has a value.

        A failed trial gets one more round, with the value minus infinity, so it always has a curve.
        """
        last = max(value_by_round, default=0)
        rounds = [n for n in value_by_round if n == last or n in _KEPT_ROUNDS]
        values = [self._sign * value_by_round[n] for n in rounds]
        if trial.state is TrialState.FAIL:
            rounds, values = [*rounds, last + 1], [*values, -math.inf]
        return LearningCurve(trial.params, rounds, values, trial.number) if rounds else None

    def running_curves(self) -> dict[int, LearningCurve]:
        """Curves of the unfinished trials with a finished round, by number."""
        curves = {n: self.curve_of(t, t.intermediate_values) for n, t in self.running.items()}
        return {number: curve for number, curve in curves.items() if curve}

    def _extend_space(self, trials: Sequence[FrozenTrial]) -> None:
        """Add the trials' parameters to the space, and drop curves that lack a new parameter."""
        known = len(self.space)
        for trial in trials:
            self.space |= {n: d for n, d in trial.distributions.items() if not d.single()}
        if len(self.space) > known:
            self.finished = [c for c in self.finished if self._has_all_params(c.params)]

    def _has_all_params(self, params: Mapping[str, Any]) -> bool:
        missing = self.space.keys() - params.keys()
        return not missing or not (
            self._names_at is None or missing.intersection(self._names_at(params))
        )
