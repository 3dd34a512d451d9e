"""Early stopping of trials: Ray Tune's schedulers, which here identify a trial by its number.

A resume keeps the number of a trial in the study, but not Ray's own id. So the journal can restore
a scheduler to the state in which an earlier run of the sweep left it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule

from search.config import SweepConfig
from search.record import TrialRecord
from search.trial import TrialRequest
from search.tuning.tune_internals import (
    bracket_probabilities,
    compare_with_several,
    forget_stop,
    put_into_bracket,
    rungs_per_bracket,
)
from spaces import TrialParams
from trainables.training import METRICS, RoundReport

CouldWin = Callable[[int, RoundReport], bool]
"""Function of a trial's number and latest round: whether the trial could still become the best."""

ShouldGoOn = Callable[[int, RoundReport], bool | None]
"""Function of a trial's number and latest round: whether it goes on; None if it can't be told."""

_FIRST_ASKED = 3
"""Rounds after which `FreezeThaw` first asks about every trial, in grace rounds."""

_NO_CONTROLLER: Any = None
"""Placeholder for Ray's ``TuneController``, which none of these schedulers uses."""


@dataclass(frozen=True)
class _NumberedTrial:
    """Stand-in for one of Ray's trials, with the number in the study as its id."""

    trial_id: int

    @classmethod
    def of(cls, trial: Any) -> Self:
        """The stand-in for one of Ray's trials."""
        return cls(TrialRequest.from_ray(trial.config).number)


def _is_exempt(trial: Any) -> bool:
    """Whether a trial is not compared with others: a repeat, or a linear probe (`_is_probe`)."""
    request = TrialRequest.from_ray(trial.config)
    return request.repeat is not None or _is_probe(request.params)


def _is_probe(params: TrialParams) -> bool:
    """Whether a trial's first round is its last: others would look weak beside it in theirs."""
    return params.head == "solved"


class StoppingRule(FIFOScheduler):
    """A scheduler that stops no trial. Subclasses combine it with one of Ray's schedulers.

    Ray's scheduler does not see repeats of trials, nor linear probes. If it would stop a trial that
    ``could_win`` gives a chance, the trial goes on: a slow learner looks weak in early rounds.
    """

    def __init__(self, could_win: CouldWin, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._could_win = could_win

    def remember(self, record: TrialRecord) -> bool:
        """Replay a recorded trial; returns whether the trial is running and should be stopped."""
        if record.repeat is not None or _is_probe(record.params):
            return False
        trial: Any = _NumberedTrial(record.number)
        super().on_trial_add(_NO_CONTROLLER, trial)
        decision = self.CONTINUE
        for report in record.reports:
            if not report.is_last:  # Ray passes the last report only to on_trial_complete
                decision = super().on_trial_result(_NO_CONTROLLER, trial, report.to_dict())
        ended = record.status != "running" or any(report.is_last for report in record.reports)
        if ended and record.reports:
            super().on_trial_complete(_NO_CONTROLLER, trial, record.reports[-1].to_dict())
        if ended or decision != self.STOP:
            return False
        return not self._could_win(record.number, record.reports[-1])

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Add a trial to Ray's scheduler, unless it is exempt."""
        if not _is_exempt(trial):
            numbered: Any = _NumberedTrial.of(trial)
            super().on_trial_add(tune_controller, numbered)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide as Ray's scheduler does, but let a trial that could win go on."""
        if _is_exempt(trial):
            return self.CONTINUE
        numbered: Any = _NumberedTrial.of(trial)
        decision: str = super().on_trial_result(tune_controller, numbered, result)
        if decision != self.STOP:
            return decision
        spared = self._could_win(numbered.trial_id, RoundReport.from_dict(result))
        return self.CONTINUE if spared else decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Pass the end of a trial to Ray's scheduler, unless it is exempt."""
        if not _is_exempt(trial):
            numbered: Any = _NumberedTrial.of(trial)
            super().on_trial_complete(tune_controller, numbered, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Pass the removal of a trial to Ray's scheduler, unless it is exempt."""
        if not _is_exempt(trial):
            numbered: Any = _NumberedTrial.of(trial)
            super().on_trial_remove(tune_controller, numbered)


class _ReproducibleBrackets(ASHAScheduler):
    """Ray's ASHA, with two differences.

    A trial's number alone decides its bracket, so a resume keeps both. And a rung stops no trial
    before it has several scores (`compare_with_several`): the first trials are a sweep's best
    guesses, and in a short sweep most of its trials.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        compare_with_several(self)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Draw a bracket with Ray's probabilities, seeded by the trial's number."""
        probabilities = bracket_probabilities(rungs_per_bracket(self))
        bracket = np.random.default_rng(trial.trial_id).choice(len(probabilities), p=probabilities)
        put_into_bracket(self, trial.trial_id, bracket)


class Asha(StoppingRule, _ReproducibleBrackets):
    """Asynchronous successive halving (Li et al. 2020); with several brackets, Hyperband."""


class FreezeThaw(Asha):
    """Asks ``should_go_on`` about trials that ASHA would stop, and at rounds that double.

    These rounds begin at `_FIRST_ASKED` times the grace rounds; an earlier one stops no trial.
    Where this can't be told, as before several trials have a score, the rule is ASHA. A trial that
    it stops may be taken up again (`search.tuning.paused_trials`).
    """

    def __init__(self, should_go_on: ShouldGoOn, *, grace_period: int, **settings: Any) -> None:
        super().__init__(_never, grace_period=grace_period, **settings)
        self._should_go_on, self._first_asked = should_go_on, _FIRST_ASKED * grace_period

    def remember(self, record: TrialRecord) -> bool:
        """Replay a recorded trial; returns whether the trial is running and was perhaps stopped."""
        stopped = super().remember(record)
        if record.status != "running" or record.repeat is not None or not record.reports:
            return stopped
        last = record.reports[-1]
        if last.is_last or not self._is_asked_after(last.round):
            return stopped and not last.is_last
        goes_on = self._should_go_on(record.number, last)
        return stopped if goes_on is None else not goes_on

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide as ``should_go_on`` does; as ASHA does where that can't be told."""
        decision = super().on_trial_result(tune_controller, trial, result)
        report = RoundReport.from_dict(result)
        if _is_exempt(trial) or not (self._is_asked_after(report.round) or decision == self.STOP):
            return decision
        goes_on = self._should_go_on(TrialRequest.from_ray(trial.config).number, report)
        if goes_on is None:
            return decision
        return self.CONTINUE if goes_on or report.round < self._first_asked else self.STOP

    def _is_asked_after(self, rounds: int) -> bool:
        """Whether a trial may be stopped after so many rounds."""
        times, remainder = divmod(rounds, self._first_asked)
        return remainder == 0 and times.bit_count() == 1


def _never(number: int, report: RoundReport) -> bool:
    return False


class _ReplayableMedian(MedianStoppingRule):
    """Ray's median rule, except that it accepts more results of a trial that it has stopped.

    Recorded trials ran at the same time but are replayed one after another. So the rule compares a
    replayed trial to rounds that others had not reached then, and may stop a trial that went on.
    """

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide on a trial, even if the rule has stopped it before."""
        forget_stop(self, trial)
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


class Median(StoppingRule, _ReplayableMedian):
    """Stops a trial whose best score is worse than the median of the others' running means.

    This is the median stopping rule of Vizier (Golovin et al. 2017).
    """


def stopping_rule(
    config: SweepConfig, rounds_per_epoch: int, could_win: CouldWin, should_go_on: ShouldGoOn
) -> StoppingRule:
    """The scheduler of the rule that the settings choose.

    Freeze-thaw asks ``should_go_on``, the others ask ``could_win`` whom to spare.
    """
    max_rounds, eta = config.epochs * rounds_per_epoch, config.asha.reduction_factor
    grace_rounds = min(config.asha.grace_rounds(rounds_per_epoch), max_rounds)
    measure: dict[str, Any] = {"time_attr": "round", "metric": config.metric}
    measure["mode"] = METRICS[config.metric].direction
    if config.stopping_name == "none":
        return StoppingRule(could_win)
    if config.stopping_name == "median":
        never_pauses: Any = math.inf
        return Median(could_win, grace_period=grace_rounds, min_time_slice=never_pauses, **measure)
    settings = {"max_t": max_rounds, "grace_period": grace_rounds, "reduction_factor": eta}
    if config.stopping_name == "freeze-thaw":
        return FreezeThaw(should_go_on, **settings, **measure)
    rungs = 1 + int(math.log(max_rounds / grace_rounds, eta) + 1e-9)
    brackets = rungs if config.stopping_name == "hyperband" else 1
    return Asha(could_win, brackets=brackets, **settings, **measure)
