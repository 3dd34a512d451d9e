"""Wall time of a sweep by stage, and workers' time by activity: ``profile.json``."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from trainables.training import RoundReport

STAGES = ("check", "start", "scan", "decode", "search", "retrain", "export")
"""Stages in order.

- "check" checks the settings and the models.
- "start" starts Ray, imports modules and measures the speed and the GPU memory of trials.
- "scan" and "decode" read the images.
- "search" runs the trials.
- "retrain" retrains and tests the final model.
- "export" exports the final model.
"""


@dataclass(frozen=True)
class WorkerSeconds:
    """Time that workers spend on each activity during the search, in seconds over all workers."""

    prefix: float
    """Computing the outputs of frozen layers."""
    train: float
    evaluate: float
    wait: float
    """All other time: model setup, idle workers, overhead of Ray and Optuna."""


@dataclass(frozen=True)
class Profile:
    """Contents of ``profile.json``."""

    wall_seconds: float
    stages: dict[str, float]
    """Wall time of each stage in seconds, by its name in `STAGES`. Stages may overlap."""
    workers: int
    """Number of trials that ran in parallel."""
    worker_seconds: WorkerSeconds

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.stages.items())
        by_activity = asdict(self.worker_seconds)
        total = sum(by_activity.values()) or 1.0
        shares = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in by_activity.items())
        return f"{self.wall_seconds:.0f} s: {stages}; worker time in the search: {shares}"


class StageClock:
    """Measures the wall time of each stage of one sweep."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seconds: dict[str, float] = {}

    def deadline(self, seconds: float | None) -> float:
        """Value of `time.monotonic` when ``seconds`` have passed; infinite for None."""
        return math.inf if seconds is None else self._began + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the ``with`` block to the stage ``name``, even if the block raises."""
        assert name in STAGES
        began = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self._seconds[name] = self._seconds.get(name, 0.0) + spent

    def profile(self, reports: Sequence[RoundReport], workers: int) -> Profile:
        """The profile so far.

        ``reports`` has the rounds that this run trained, in ``workers`` parallel trials.
        """
        prefix = sum(report.prefix_seconds for report in reports)
        evaluate = sum(report.evaluate_seconds for report in reports)
        rounds = sum(report.seconds for report in reports)
        available = workers * self._seconds.get("search", 0.0)
        return Profile(
            wall_seconds=round(time.monotonic() - self._began, 2),
            stages={s: round(self._seconds[s], 2) for s in STAGES if s in self._seconds},
            workers=workers,
            worker_seconds=WorkerSeconds(
                prefix=round(prefix, 2),
                train=round(rounds - prefix - evaluate, 2),
                evaluate=round(evaluate, 2),
                wait=round(max(0.0, available - rounds), 2),
            ),
        )


def format_duration(seconds: float) -> str:
    """Duration in a readable unit: "90.0 s", "5.0 min" or "2.5 h"."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
