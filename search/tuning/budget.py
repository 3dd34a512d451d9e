"""What ends a search before its trials do: wall time, GPU hours, a target."""

import math
import time
from collections.abc import Callable

from search.config import SweepConfig
from search.record import Repeat, Status
from spaces import TrialParams
from trainables.training import EpochReport, better


class Budget:
    """An `Observer`: counts what a search spends, and says when that is enough.

    The clock starts when it is made. GPU hours and the target count what earlier runs of the sweep
    came to, for their epochs are told to observers too.

    Args:
        config: Has the limits.
        gpus: The share of a GPU that a trial holds.
    """

    def __init__(self, config: SweepConfig, gpus: Callable[[TrialParams], float]) -> None:
        self._config, self._gpus = config, gpus
        self.ended_by: str | None = None
        """What ended the search in an earlier run of the sweep, if nobody asked for more of it."""
        self._end = time.monotonic() + (config.time_budget or math.inf)
        self._shares: dict[int, float] = {}
        self._gpu_seconds: dict[int, float] = {}
        self._has_target = False

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Take in a trial. One that is known is told of anew; repeats are no part of the search."""
        if repeat is None:
            self._shares[number], self._gpu_seconds[number] = self._gpus(params), 0.0

    def report(self, number: int, report: EpochReport) -> None:
        """Count an epoch."""
        if number not in self._shares:
            return
        self._gpu_seconds[number] += self._shares[number] * report.seconds
        metric, target = self._config.metric, self._config.target
        if target is not None and not report.diverged:
            self._has_target |= not better(metric, target, getattr(report, metric))

    def end(self, number: int, status: Status) -> None:
        """Nothing to count."""

    @property
    def seconds_left(self) -> float:
        """Of the time budget; infinite without one."""
        return self._end - time.monotonic()

    @property
    def spent(self) -> str | None:
        """What ended the search, in words; None while it may go on."""
        config = self._config
        if self.ended_by is not None:
            return self.ended_by
        if self._has_target:
            return f"a trial reached the target, {config.metric} {config.target:g}"
        if self.seconds_left <= 0:
            return f"the time budget of {config.time_budget:g} s is spent"
        held = sum(self._gpu_seconds.values())
        if config.gpu_hours is not None and held >= 3600 * config.gpu_hours:
            return f"the {config.gpu_hours:g} GPU hours are spent"
        return None
