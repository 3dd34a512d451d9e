"""Where a sweep's time went, stage by stage: ``profile.json``."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.study import TrialRecord

STAGES = ("check", "start", "scan", "decode", "search", "retrain", "export")
"""In order; "start" is Ray's, beside "scan" and "decode"."""


class StageClock:
    """Wall seconds of each stage of one sweep. Stages may run side by side."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens within for a stage of `STAGES`."""
        assert name in STAGES
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                spent = time.perf_counter() - began
                self._seconds[name] = self._seconds.get(name, 0.0) + spent

    def document(self, trials: "Sequence[TrialRecord]", workers: int) -> dict[str, Any]:
        """``profile.json``: the stages, and what the workers did while the search ran.

        ``wait`` is what is left of the workers' time: models set up, and what Ray and Optuna take.
        """
        reports = [report for trial in trials for report in trial.reports]
        prefix = sum(report.prefix_seconds for report in reports)
        evaluate = sum(report.evaluate_seconds for report in reports)
        epochs = sum(report.seconds for report in reports)
        whole = workers * self._seconds.get("search", 0.0)
        spent = {
            "prefix": prefix,
            "train": epochs - prefix - evaluate,
            "evaluate": evaluate,
            "wait": max(0.0, whole - epochs),
        }
        return {
            "wall_seconds": round(time.perf_counter() - self._began, 2),
            "stages": {s: round(self._seconds[s], 2) for s in STAGES if s in self._seconds},
            "workers": workers,
            "worker_seconds": {name: round(seconds, 2) for name, seconds in spent.items()},
        }


def profile_words(profile: dict[str, Any]) -> str:
    """The document as one line."""
    stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in profile["stages"].items())
    shares = profile["worker_seconds"]
    whole = sum(shares.values()) or 1.0
    parts = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in shares.items())
    return f"{profile['wall_seconds']:.0f} s: {stages}; of the search {parts}"
