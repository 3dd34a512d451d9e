"""Where a sweep's time went, stage by stage: ``profile.json``."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from trainables.training import EpochReport

STAGES = ("check", "start", "scan", "decode", "search", "retrain", "export")
"""In order; "start" is Ray's, and imports beside it."""


@dataclass(frozen=True)
class WorkerSeconds:
    """What all workers together did while the search ran."""

    prefix: float
    """Computed what frozen layers give."""
    train: float
    evaluate: float
    wait: float
    """The rest: models set up, and what Ray and Optuna take."""


@dataclass(frozen=True)
class Profile:
    """``profile.json``."""

    wall_seconds: float
    stages: dict[str, float]
    """Wall seconds by the name in `STAGES`."""
    workers: int
    worker_seconds: WorkerSeconds

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.stages.items())
        spent = asdict(self.worker_seconds)
        whole = sum(spent.values()) or 1.0
        parts = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in spent.items())
        return f"{self.wall_seconds:.0f} s: {stages}; of the search {parts}"


class StageClock:
    """Wall seconds of each stage of one sweep."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within for a stage of `STAGES`."""
        assert name in STAGES
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self._seconds[name] = self._seconds.get(name, 0.0) + spent

    def profile(self, reports: Sequence[EpochReport], workers: int) -> Profile:
        """Where it went so far, when ``workers`` ran these epochs while the search lasted."""
        prefix = sum(report.prefix_seconds for report in reports)
        evaluate = sum(report.evaluate_seconds for report in reports)
        epochs = sum(report.seconds for report in reports)
        whole = workers * self._seconds.get("search", 0.0)
        return Profile(
            wall_seconds=round(time.perf_counter() - self._began, 2),
            stages={s: round(self._seconds[s], 2) for s in STAGES if s in self._seconds},
            workers=workers,
            worker_seconds=WorkerSeconds(
                prefix=round(prefix, 2),
                train=round(epochs - prefix - evaluate, 2),
                evaluate=round(evaluate, 2),
                wait=round(max(0.0, whole - epochs), 2),
            ),
        )


def took(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
