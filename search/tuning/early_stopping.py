"""The rule that ends weak trials early: one of Ray's, which knows trials by their number."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule

from search.config import SweepConfig
from search.record import TrialRecord
from search.trial import NUMBER, REPEAT
from trainables.training import METRICS, EpochReport

MayLead = Callable[[int, EpochReport], bool]
"""Whether a trial, by number, may yet come to the best of all after its last epoch."""

_NOBODY: Any = None
"""In place of Ray's controller, which none of these rules asks."""


@dataclass(frozen=True)
class _Numbered:
    """What a rule sees of a trial. Ray gives one that is taken up again a new identity."""

    trial_id: int

    @classmethod
    def of(cls, trial: Any) -> Self:
        """Of one of Ray's trials."""
        return cls(trial.config[NUMBER])


class StoppingRule(FIFOScheduler):
    """Stops no trial. Subclasses mix it into a scheduler of Ray's, which sees no repeats.

    A trial that learns slowly looks weak to a scheduler that compares epochs: it is spared if it
    ``may_lead``.
    """

    def __init__(self, may_lead: MayLead, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._may_lead = may_lead

    def remember(self, record: TrialRecord) -> bool:
        """Take in a trial of the journal. Returns whether it runs and would be stopped by now."""
        if record.repeat is not None:
            return False
        trial: Any = _Numbered(record.number)
        super().on_trial_add(_NOBODY, trial)
        decision = self.CONTINUE
        for report in record.reports:
            if not report.is_last:  # of that Ray tells its end alone
                decision = super().on_trial_result(_NOBODY, trial, report.to_dict())
        ended = record.status != "running" or any(report.is_last for report in record.reports)
        if ended and record.reports:
            super().on_trial_complete(_NOBODY, trial, record.reports[-1].to_dict())
        if ended or decision != self.STOP:
            return False
        return not self._may_lead(record.number, record.reports[-1])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """As in Ray."""
        if trial.config[REPEAT] is None:
            super().on_trial_add(tune_controller, _Numbered.of(trial))  # type: ignore[arg-type]

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As in Ray."""
        if trial.config[REPEAT] is not None:
            return self.CONTINUE
        seen: Any = _Numbered.of(trial)
        decision: str = super().on_trial_result(tune_controller, seen, result)
        if decision == self.STOP and self._may_lead(seen.trial_id, EpochReport.from_dict(result)):
            return self.CONTINUE
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """As in Ray."""
        if trial.config[REPEAT] is None:
            seen: Any = _Numbered.of(trial)
            super().on_trial_complete(tune_controller, seen, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """As in Ray."""
        if trial.config[REPEAT] is None:
            seen: Any = _Numbered.of(trial)
            super().on_trial_remove(tune_controller, seen)


class _Successive(ASHAScheduler):
    """Ray's, but that a trial's bracket follows from its number: a resume finds the same."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Draw a bracket with the chances that Ray gives them."""
        rungs = np.array([len(bracket._rungs) for bracket in self._brackets])
        chances = np.exp(rungs - rungs.max())
        chosen = np.random.default_rng(trial.trial_id).choice(len(rungs), p=chances / chances.sum())
        self._trial_info[trial.trial_id] = self._brackets[chosen]


class Asha(StoppingRule, _Successive):
    """Asynchronous successive halving (Li et al. 2020); of several brackets, Hyperband."""


class _Medians(MedianStoppingRule):
    """Ray's, but that it can be told of a trial which it would have stopped.

    In a journal are trials that ran side by side; read one after another, an early one meets the
    whole curves of others that it was not compared with when it ran.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As in Ray."""
        self._stopped_trials.discard(trial)
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


class Median(StoppingRule, _Medians):
    """Stops a trial whose best is below the median of the others' means so far (Vizier)."""


def stopping_rule(config: SweepConfig, may_lead: MayLead) -> StoppingRule:
    """What ``stopping`` asks for."""
    grace, eta = config.asha.grace_epochs, config.asha.reduction_factor
    measure: dict[str, Any] = {"time_attr": "epoch", "metric": config.metric}
    measure["mode"] = METRICS[config.metric]
    if config.stopping == "none":
        return StoppingRule(may_lead)
    if config.stopping == "median":
        never_pauses: Any = math.inf
        return Median(may_lead, grace_period=grace, min_time_slice=never_pauses, **measure)
    rungs = 1 + int(math.log(config.max_epochs / grace, eta) + 1e-9)
    return Asha(
        may_lead,
        max_t=config.max_epochs,
        grace_period=grace,
        reduction_factor=eta,
        brackets=rungs if config.stopping == "hyperband" else 1,
        **measure,
    )
