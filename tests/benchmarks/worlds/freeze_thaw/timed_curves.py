"""Learning curves that know their trial and how long its rounds last."""

from collections.abc import Mapping
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from search.samplers.learning_curves import LearningCurve, LearningCurves

SECONDS = "seconds_per_round"
"""User attribute of a trial: duration of one of its rounds."""


@dataclass(frozen=True)
class TimedCurve(LearningCurve):
    """The metric of one trial after some of its rounds, and the trial's pace."""

    number: int
    """Number of the trial in the study."""
    seconds: float
    """Duration of a round."""


class TimedCurves(LearningCurves):
    """The learning curves of one study, as `TimedCurve`."""

    def curve_of(
        self, trial: FrozenTrial, value_by_round: Mapping[int, float]
    ) -> TimedCurve | None:
        """The curve of a trial with this metric after each round; None if no round has a value."""
        curve, seconds = super().curve_of(trial, value_by_round), trial.user_attrs.get(SECONDS, 1.0)
        if curve is None:
            return None
        return TimedCurve(curve.params, curve.rounds, curve.values, trial.number, seconds)

    def unfinished(self) -> dict[int, TimedCurve]:
        """Curves of the unfinished trials with a finished round, by number."""
        curves = {n: self.curve_of(t, t.intermediate_values) for n, t in self.running.items()}
        return {number: curve for number, curve in curves.items() if curve}
