"""`Budget`: says when a search must stop before its number of trials is reached."""

import math
import time
from collections.abc import Callable

from search.config import SweepConfig
from search.record import Repeat, Status
from spaces import TrialParams
from trainables.training import METRICS, EpochReport


class Budget:
    """A `TrialObserver` that counts what a search spends, and says when its budget is spent.

    The time budget starts when the object is created. GPU hours, which are those of reported
    epochs, and the target also count earlier runs of the sweep, whose epochs are replayed to
    observers.

    Args:
        config: The limits: ``time_budget``, ``gpu_hours`` and ``target``.
        gpus: Gives the share of a GPU that a trial holds.
    """

    def __init__(self, config: SweepConfig, gpus: Callable[[TrialParams], float]) -> None:
        self._config, self._gpus = config, gpus
        self.ended_by: str | None = None
        """Reason why the search ended in an earlier run of the sweep; None if it is to go on."""
        self._deadline = time.monotonic() + (config.time_budget or math.inf)
        self._shares: dict[int, float] = {}
        self._gpu_seconds: dict[int, float] = {}
        self._target_reached = False

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Start counting a trial's GPU time. Its earlier epochs follow; repeats are not counted."""
        if repeat is None:
            self._shares[number], self._gpu_seconds[number] = self._gpus(params), 0.0

    def report(self, number: int, report: EpochReport) -> None:
        """Count the GPU time of an epoch, and compare its score to the target."""
        if number not in self._shares:
            return
        self._gpu_seconds[number] += self._shares[number] * report.seconds
        metric, target = METRICS[self._config.metric], self._config.target
        if target is not None and not report.diverged:
            self._target_reached |= not metric.better(target, metric.of(report))

    def end(self, number: int, status: Status) -> None:
        """Nothing to count."""

    @property
    def seconds_left(self) -> float:
        """Seconds left of the time budget; infinite without one."""
        return self._deadline - time.monotonic()

    @property
    def spent(self) -> str | None:
        """Reason why the search is to end, in words; None while it may go on."""
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
