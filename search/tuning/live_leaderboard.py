"""`LiveLeaderboard`: the best trials and the progress of a search, in a terminal or notebook."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from search.config import UNLIMITED_TRIALS, SweepConfig
from search.record import Repeat, Status, trial_name
from search.tuning.budget import Budget
from spaces import TrialParams
from trainables.training import METRICS, RoundReport, best_of, merit

_ROWS = 10
_Status = Status | Literal["waiting"]
"""State of a trial, or "waiting" for one that was stopped and may go on."""


class LiveLeaderboard:
    """A `TrialObserver` that shows the best trials, their status, and the estimated time left.

    It is a context manager, and draws only in a terminal or a notebook. A terminal's table
    disappears at the end; a notebook's stays in the output of its cell.
    """

    def __init__(self, config: SweepConfig, budget: Budget) -> None:
        self._trials, self._max_epochs = config.trials, config.epochs
        self._metric, self._budget = config.metric, budget
        self._best: dict[int, RoundReport] = {}
        self._epochs: dict[int, float] = {}
        self._status: dict[int, _Status] = {}
        self._backbones: dict[int, str] = {}
        self._repeats: set[int] = set()
        self._lock = threading.Lock()  # guards the fields above: rich draws in another thread
        self._began, self._done_before = time.monotonic(), 0
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._live is not None:
            with self._lock:
                for number, status in self._status.items():
                    if status == "running":  # the search was interrupted
                        self._status[number] = "waiting"
            self._live.stop()

    def start(self) -> None:
        """Start measuring the pace of trials, and draw as soon as one runs.

        Trials that were replayed before do not count.
        """
        self._live = _make_live(self._table)
        self._began, self._done_before = time.monotonic(), self._done

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Show a trial as running."""
        with self._lock:
            if repeat is not None:
                self._repeats.add(number)
            self._backbones[number], self._status[number] = params.backbone, "running"
            self._epochs[number] = 0
        self._draw()

    def report(self, number: int, report: RoundReport) -> None:
        """Update a trial's row with a round."""
        with self._lock:
            self._status[number] = "running"
            self._epochs[number] = report.epoch
            best = best_of((self._best.get(number), report), self._metric)
            if best is not None:
                self._best[number] = best
        self._draw()

    def pause(self, number: int) -> None:
        """Show a trial as waiting."""
        with self._lock:
            self._status[number] = "waiting"

    def end(self, number: int, status: Status) -> None:
        """Show how a trial ended."""
        with self._lock:
            self._status[number] = status

    def _draw(self) -> None:
        if self._live is not None:
            self._live.start(refresh=True)

    @property
    def _done(self) -> int:
        unfinished = ("running", "waiting")
        return sum(s not in unfinished and n not in self._repeats for n, s in self._status.items())

    def _table(self) -> Table:
        with self._lock:
            return self._build_table()

    def _build_table(self) -> Table:
        statuses = [*self._status.values()]
        kinds: list[_Status] = ["running", "stopped", "failed"]
        if "waiting" in statuses:
            kinds.insert(1, "waiting")
        counts = {kind: statuses.count(kind) for kind in kinds}
        summary = ", ".join(f"{n} {s}" for s, n in counts.items())
        table = Table(
            title=f"{self._done_count()} trials done; {summary}; {self._eta()}",
            title_justify="left",
        )
        for column in ("trial", "backbone", self._metric, "best epoch", "epochs", "status"):
            table.add_column(column)
        alive = [n for n in self._best if self._status[n] != "failed" and n not in self._repeats]
        ranked = sorted(alive, key=lambda n: merit(self._best[n], self._metric), reverse=True)
        for number in ranked[:_ROWS]:
            best = self._best[number]
            table.add_row(
                trial_name(number),
                self._backbones[number],
                f"{METRICS[self._metric].of(best):.4f}",
                f"{best.epoch:.4g}",
                f"{self._epochs[number]:.4g}/{self._max_epochs}",
                self._status[number],
            )
        return table

    def _done_count(self) -> str:
        return (
            str(self._done)
            if self._trials == UNLIMITED_TRIALS
            else f"{self._done} of {self._trials}"
        )

    def _eta(self) -> str:
        """Text of the time left, estimated from the pace of trials, within the time budget."""
        done, left = self._done - self._done_before, self._budget.seconds_left
        if self._repeats:
            return "repeating the best trials"
        if done and self._trials != UNLIMITED_TRIALS:
            pace = (time.monotonic() - self._began) / done
            left = min(left, pace * (self._trials - self._done))
        if math.isinf(left):
            return "time left not known yet"
        return f"about {left / 60:.0f} min left" if left > 60 else "less than a minute left"


def _make_live(table: Callable[[], Table]) -> Live | None:
    """Display of the table; None if the output is neither a terminal nor a notebook."""
    console = Console()
    if console.is_terminal:
        return Live(console=console, get_renderable=table, refresh_per_second=2, transient=True)
    if console.is_jupyter:
        return _NotebookLive(
            console=Console(quiet=True),  # else `Live` prints an empty output at its end
            get_renderable=table,
            refresh_per_second=1,
            redirect_stdout=False,
            redirect_stderr=False,
        )
    return None


class _NotebookLive(Live):
    """`Live` display in the output of a notebook's cell. It needs no widgets."""

    _handle: Any = None

    def refresh(self) -> None:
        """Draw the table, or draw it again in the same place."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(self.get_renderable(), display_id=True)
        else:
            self._handle.update(self.get_renderable())

    def stop(self) -> None:
        """Stop drawing, with the last state of the table."""
        super().stop()
        if self._handle is not None:
            self.refresh()
