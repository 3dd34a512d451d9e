"""The curves of a study that grows: what a sampler learns from.

Each trial is looked at until it has ended, so that a proposal takes little longer after ten
thousand trials than after a hundred.
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
"""Attribute of a failed trial that says nothing: its driver was killed as it was proposed."""

_EPOCHS = {3**k for k in range(12)}
"""That a curve is told by, beside its last: those between say little more."""


@dataclass(frozen=True)
class Curve:
    """What is learnt from a trial: some of its epochs, ascending."""

    params: Mapping[str, Any]
    epochs: Sequence[int]
    values: Sequence[float]
    """Better where they are higher."""

    @property
    def best(self) -> float:
        """The best of its values."""
        return max(self.values)


def worst_last(curve: Curve) -> float:
    """A key to sort curves by."""
    return -curve.best


class Curves:
    """Of the trials that lack no parameter: one that was given may lie outside the space."""

    def __init__(self) -> None:
        self.space: dict[str, BaseDistribution] = {}
        """Of all that was ever drawn."""
        self.ended: list[Curve] = []
        """Of trials that are over, the best first."""
        self.running: dict[int, FrozenTrial] = {}
        """Trials that are not, by number."""
        self._sign, self._read = 1, 0
        self._open: set[int] = set()

    def read(self, study: Study) -> None:
        """Take in what has become of a study's trials."""
        self._sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        trials, known = study.get_trials(deepcopy=False), len(self.space)
        self._open |= set(range(self._read, len(trials)))
        self._read = len(trials)
        looked_at = [trials[number] for number in sorted(self._open)]
        for trial in looked_at:
            self.space |= {n: d for n, d in trial.distributions.items() if not d.single()}
        if len(self.space) > known:
            self.ended = [curve for curve in self.ended if self._is_whole(curve.params)]
        self.running = {}
        for trial in looked_at:
            over = trial.state.is_finished()
            if over:
                self._open.remove(trial.number)
            if not self._is_whole(trial.params) or NEVER_BEGAN in trial.user_attrs:
                continue
            if not over:
                self.running[trial.number] = trial
            elif curve := self.of(trial, trial.intermediate_values):
                insort(self.ended, curve, key=worst_last)

    def of(self, trial: FrozenTrial, told: Mapping[int, float]) -> Curve | None:
        """A trial's that was ``told`` so, by epoch; None if it has no epoch.

        One that failed is as bad as any after its last.
        """
        last = max(told, default=0)
        epochs = [e for e in told if e == last or e in _EPOCHS]
        values = [self._sign * told[e] for e in epochs]
        if trial.state is TrialState.FAIL:
            epochs, values = [*epochs, last + 1], [*values, -math.inf]
        return Curve(trial.params, epochs, values) if epochs else None

    def begun(self, *, beside: int | None = None) -> list[Curve]:
        """Of the running trials that have an epoch, but one."""
        others = (trial for number, trial in self.running.items() if number != beside)
        curves = (self.of(trial, trial.intermediate_values) for trial in others)
        return [curve for curve in curves if curve]

    def _is_whole(self, params: Mapping[str, Any]) -> bool:
        return self.space.keys() <= params.keys()
