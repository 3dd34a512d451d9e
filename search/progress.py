"""The live leaderboard in the terminal; where there is no terminal, lines in the sweep's log."""

import logging
import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.live import Live
from rich.table import Table

from search.study import trial_name
from search.trial import NUMBER, PARAMS
from trainables.report import METRICS, EpochReport, best_of

_ROWS = 10
_log = logging.getLogger("finesweep")


class LiveLeaderboard(Callback):
    """Ray Tune callback: running, stopped, failed, the best so far, and when it will end."""

    def __init__(self, *, trials: int, max_epochs: int, metric: str) -> None:
        self._trials, self._max_epochs, self._metric = trials, max_epochs, metric
        self._best: dict[str, EpochReport] = {}
        self._last: dict[str, EpochReport] = {}
        self._status: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._began = time.monotonic()
        self._live: Live | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}

    def setup(self, *unused: Any, **info: Any) -> None:
        """Start drawing, if somebody can look."""
        self._began = time.monotonic()
        console = Console()
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=2, transient=True)
            self._live.start()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Take in an epoch."""
        report = EpochReport.from_dict(result)
        name = self._name(trial)
        self._last[name] = report
        self._status.setdefault(name, "running")
        best = best_of((self._best.get(name), report), self._metric)
        if best is not None:
            self._best[name] = best
        value = getattr(report, self._metric)
        _log.info("trial %s epoch %d: %s %.4f", name, report.epoch, self._metric, value)
        self._draw()

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Take in a trial's end."""
        name = self._name(trial)
        last = self._last[name]
        ended = "completed" if last.is_last else "stopped"
        self._status[name] = "failed" if last.diverged else ended
        _log.info("trial %s %s after %d epochs", name, self._status[name], last.epoch)
        self._draw()

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Take in a failure."""
        name = self._name(trial)
        self._status[name] = "failed"
        _log.error("trial %s failed; see %s", name, trial.error_file)
        self._draw()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()

    def _name(self, trial: Trial) -> str:
        name = trial_name(trial.config[NUMBER])
        self._names[name] = trial.config[PARAMS].backbone
        return name

    def _draw(self) -> None:
        if self._live is not None:
            self._live.update(self._table())

    def _table(self) -> Table:
        counts = {s: list(self._status.values()).count(s) for s in ("running", "stopped", "failed")}
        done = sum(status != "running" for status in self._status.values())
        summary = ", ".join(f"{n} {s}" for s, n in counts.items())
        table = Table(
            title=f"{done} of {self._trials} trials done: {summary}; {self._eta(done)}",
            title_justify="left",
        )
        for column in ("trial", "backbone", self._metric, "best epoch", "epochs", "status"):
            table.add_column(column)
        sign = -1 if METRICS[self._metric] == "max" else 1
        alive = [name for name in self._best if self._status[name] != "failed"]
        ranked = sorted(alive, key=lambda n: sign * getattr(self._best[n], self._metric))
        for name in ranked[:_ROWS]:
            best = self._best[name]
            table.add_row(
                name,
                self._names[name],
                f"{getattr(best, self._metric):.4f}",
                str(best.epoch),
                f"{self._last[name].epoch}/{self._max_epochs}",
                self._status[name],
            )
        return table

    def _eta(self, done: int) -> str:
        """From the trials done so far; says nothing before there are some."""
        if done == 0:
            return "time left not known yet"
        left = (time.monotonic() - self._began) / done * (self._trials - done)
        return f"about {left / 60:.0f} min left"
