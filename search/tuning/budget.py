"""`Budget`: ends a search early when its time or GPU hours are spent, or its target is reached."""

import math
import time
from collections.abc import Callable

from search.config import SweepConfig
from search.record import Repeat, Status
from spaces import TrialParams
from trainables.training import METRICS, RoundReport


class Budget:
    """A `TrialObserver` that compares the cost and the scores of a search to limits.

    The time budget starts when the object is created, so the time of earlier runs of the sweep does
    not count. GPU hours and scores of earlier runs count, because their rounds are replayed to
    observers. GPU hours are summed over reported rounds. Repeats count for neither limit.

    Args:
        config: The limits: ``time_budget``, ``gpu_hours`` and ``target``.
        gpus: Returns the share of a GPU that a trial holds.
    """

    def __init__(self, config: SweepConfig, gpus: Callable[[TrialParams], float]) -> None:
        self._config, self._gpus = config, gpus
        self.ended_by: str | None = None
        """Reason why an earlier run of the sweep ended the search; None if no earlier run did."""
        self._deadline = time.monotonic() + (config.time_budget or math.inf)
        self._shares: dict[int, float] = {}
        self._gpu_seconds: dict[int, float] = {}
        self._target_reached = False

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Start counting a trial's GPU time. The GPU time of a repeat is not counted."""
        if repeat is None:
            self._shares[number], self._gpu_seconds[number] = self._gpus(params), 0.0

    def report(self, number: int, report: RoundReport) -> None:
        """Count the GPU time of a round, and compare the round's score to the target."""
        if number not in self._shares:
            return
        self._gpu_seconds[number] += self._shares[number] * report.seconds
        metric, target = METRICS[self._config.metric], self._config.target
        if target is not None and not report.diverged:
            self._target_reached |= not metric.better(target, metric.of(report))

    def pause(self, number: int) -> None:
        """Do nothing: `report` has counted every round."""

    def end(self, number: int, status: Status) -> None:
        """Do nothing: `report` has counted every round."""

    @property
    def seconds_left(self) -> float:
        """Remaining seconds of the time budget; infinite if there is no time budget."""
        return self._deadline - time.monotonic()

    @property
    def spent(self) -> str | None:
        """Reason why the search must end, as text for users; None while it may go on."""
        config = self._config
        if self.ended_by is not None:
            return self.ended_by
        if self._target_reached:
            return f"a trial reached the target, {config.metric} {config.target:g}"
        if self.seconds_left <= 0:
            return f"the time budget of {config.time_budget:g} s is spent"
        held = sum(self._gpu_seconds.values())
        if config.gpu_hours is not None and held >= 3600 * config.gpu_hours:
            return f"the {config.gpu_hours:g} GPU hours are spent"
        return None
