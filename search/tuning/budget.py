"""`Budget`: ends a search early when its time or GPU hours are spent, or its target is reached."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from search.config import SweepConfig
from search.record import Repeat, Status, TrialRecord
from spaces import TrialParams
from trainables.training import METRICS, RoundReport

_SHARE_AFTER_SEARCH = 0.1
"""Least share of the time budget that is left for what follows the search."""
_SECONDS_BETWEEN_ESTIMATES = 2.0
"""Least time between two estimates of what follows the search, which read all trials."""
_LATE_TRIALS = 3
"""Number of trials that may begin, one after another, although no time is left for them: as long as
none has a score, there is no model to hand over."""
_SHARE_FOR_ESTIMATES = 0.05
"""Largest share of the driver's time that the estimates may take."""


@dataclass(frozen=True)
class TimeLimit:
    """When a sweep must end, and how long it goes on after its search."""

    deadline: float
    """Value of `time.monotonic` when the time budget is spent."""
    seconds_after_search: Callable[[Sequence[TrialRecord]], float]
    """Expected seconds of repeats, retraining and export, by the trials so far."""


UNLIMITED = TimeLimit(math.inf, lambda trials: 0.0)
"""No time budget."""


class Budget:
    """A `TrialObserver` that compares the cost and the scores of a search to limits.

    The search ends so early that what follows it ends before the deadline. Trials that run at the
    deadline go on until one has a score, and if none runs, a few may still begin, so that there is
    a model to hand over. GPU hours
    and scores of earlier runs of the sweep count, because their rounds are replayed to observers.
    GPU hours are summed over reported rounds. Repeats count for no limit.

    Args:
        config: The limits: ``time_budget``, ``gpu_hours`` and ``target``.
        gpus: Returns the share of a GPU that a trial holds.
        limit: Deadline of the sweep.
        trials: Returns all trials of the sweep.
    """

    def __init__(
        self,
        config: SweepConfig,
        gpus: Callable[[TrialParams], float],
        limit: TimeLimit = UNLIMITED,
        trials: Callable[[], Sequence[TrialRecord]] = tuple,
    ) -> None:
        self._config, self._gpus = config, gpus
        self.ended_by: str | None = None
        """Reason why the search has ended before all trials had begun; None if it has not."""
        self._limit, self._trials = limit, trials
        self._reserve, self._next_estimate_at = self._least_reserve, -math.inf
        self._is_estimate_old = False
        self._shares: dict[int, float] = {}
        self._gpu_seconds: dict[int, float] = {}
        self._first_rounds: list[float] = []
        """Seconds of the first round of each fine-tune; linear probes are faster."""
        self._probes: set[int] = set()
        self._alive: set[int] = set()
        """Trials of the search that have begun and not ended."""
        self._is_scored = self._target_reached = False

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Start counting a trial's GPU time. The GPU time of a repeat is not counted."""
        if repeat is not None:
            return
        self._shares[number], self._gpu_seconds[number] = self._gpus(params), 0.0
        self._alive.add(number)
        if params.head == "solved":
            self._probes.add(number)

    def report(self, number: int, report: RoundReport) -> None:
        """Count the GPU time of a round, and compare the round's score to the target."""
        if number not in self._shares:
            return
        self._gpu_seconds[number] += self._shares[number] * report.seconds
        if report.round == 1 and number not in self._probes:
            self._first_rounds.append(report.seconds)
        self._is_scored |= not report.diverged
        self._is_estimate_old = True
        metric, target = METRICS[self._config.metric], self._config.target
        if target is not None and not report.diverged:
            self._target_reached |= not metric.better(target, metric.of(report))

    def pause(self, number: int) -> None:
        """Do nothing: `report` has counted every round."""

    def end(self, number: int, status: Status) -> None:
        """Note that a trial has ended; `report` has counted every round."""
        self._alive.discard(number)

    @property
    def seconds_left(self) -> float:
        """Seconds until the search must end; infinite if there is no time budget."""
        if self._limit.deadline == math.inf:
            return math.inf
        if self._is_estimate_old and time.monotonic() > self._next_estimate_at:
            self._estimate()
        return self._limit.deadline - time.monotonic() - self._reserve

    def _estimate(self) -> None:
        """Estimate anew how many seconds what follows the search needs."""
        began = time.monotonic()
        expected = self._limit.seconds_after_search(self._trials())
        self._reserve, self._is_estimate_old = max(self._least_reserve, expected), False
        ended = time.monotonic()
        pause = max(_SECONDS_BETWEEN_ESTIMATES, (ended - began) / _SHARE_FOR_ESTIMATES)
        self._next_estimate_at = ended + pause

    @property
    def closed(self) -> str | None:
        """Reason why no trial of the search may begin any more, as text for users; else None."""
        needed = median(self._first_rounds) if self._first_rounds else 0.0
        if self._reached or self.seconds_left > needed:
            return self._reached
        is_late = self._is_scored or self._alive or len(self._shares) >= _LATE_TRIALS
        return self._no_time if is_late else None

    def has_time_for(self, seconds: float) -> bool:
        """Whether a round of so many seconds that begins now ends before the search must."""
        return self._reached is None and (not self._is_scored or self.seconds_left >= seconds)

    @property
    def spent(self) -> str | None:
        """Reason why the trials of the search must end, as text for users; else None."""
        return self._reached or (
            self._no_time if self._is_scored and self.seconds_left <= 0 else None
        )

    @property
    def _reached(self) -> str | None:
        """Reason of a limit other than the time budget."""
        config = self._config
        if self.ended_by is not None:
            return self.ended_by
        if self._target_reached:
            return f"a trial reached the target, {config.metric} {config.target:g}"
        held = sum(self._gpu_seconds.values())
        if config.gpu_hours is not None and held >= 3600 * config.gpu_hours:
            return f"the {config.gpu_hours:g} GPU hours are spent"
        return None

    @property
    def _no_time(self) -> str:
        budget = f"the time budget of {self._config.time_budget:g} s"
        if not self._config.retrain:
            return f"{budget} is spent"
        return f"what is left of {budget} is needed for the final model"

    @property
    def _least_reserve(self) -> float:
        """Seconds for what follows the search before any trial has a score."""
        return _SHARE_AFTER_SEARCH * (self._config.time_budget or 0.0) * self._config.retrain
