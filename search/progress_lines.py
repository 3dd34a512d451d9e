"""Progress on standard error: redrawn in a terminal, lines in a notebook, a few in a file."""

import sys
import time

from rich.console import Console

from search.record import format_duration

SECONDS_BETWEEN_LINES = 10.0
"""Seconds between two lines of a step, if standard error is not a terminal."""
SECONDS_BEFORE_ESTIMATE = 2.0
"""Seconds of a step after which its remaining time is estimated, and a file gets its first line."""


class ProgressLines:
    """`trainables.progress.Progress` callback that writes to standard error.

    In a terminal, each step has one line, which is updated in place. Elsewhere, a step of known
    length has a line every `SECONDS_BETWEEN_LINES`; short steps have none. A step of unknown length
    has a line in a notebook, but none in a file, so that a mistake that is found meanwhile stays a
    single sentence.
    """

    def __init__(self) -> None:
        self._step = ""
        self._began = self._next_line = 0.0
        self._in_notebook = Console().is_jupyter

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` parts of a step are done; 0 in all means unknown."""
        now = time.monotonic()
        if step != self._step:
            self._step, self._began = step, now
            self._next_line = now + SECONDS_BEFORE_ESTIMATE
        if sys.stderr.isatty():
            if total == 0:
                sys.stderr.write(f"{step} ...\n")
            elif done % max(1, total // 100) == 0 or done == total:
                end = "\n" if done == total else ""
                sys.stderr.write(f"\r{self._line(done, total, now)}\x1b[K{end}")
        elif total == 0 and self._in_notebook:
            sys.stderr.write(f"{step} ...\n")
        elif total and now >= self._next_line:
            self._next_line = now + SECONDS_BETWEEN_LINES
            sys.stderr.write(f"{self._line(done, total, now)}\n")
        sys.stderr.flush()

    def _line(self, done: int, total: int, now: float) -> str:
        line, seconds = f"{self._step}: {done} of {total}", now - self._began
        if seconds < SECONDS_BEFORE_ESTIMATE or not 0 < done < total:
            return line
        return f"{line}, about {format_duration(seconds * (total - done) / done)} left"
