"""`Retries`: decides whether a failed trial is retried.

A trial is retried after the failure of a machine, and once after an exception of its own. A trial
that raises the same exception again is given up.
"""

import re
from dataclasses import dataclass

MAX_FAILURES = 5
"""A trial is given up after this many failures with no finished round in between."""
SYSTEMATIC_FAILURES = 3
"""The sweep ends when this many trials are given up for one cause before any round finishes."""


@dataclass(frozen=True)
class Failure:
    """One failure of a trial."""

    cause: str
    """Cause in one line."""
    text: str
    """Whole message, such as a traceback."""
    is_exception: bool
    """Whether the trial's own code raised it; False if a worker or machine was lost."""
    ip: str = ""
    """IP address of the machine where it happened; empty if unknown."""

    @property
    def kind(self) -> str:
        """The cause without numbers, such as free memory or process ids; equal for equal causes."""
        return re.sub(r"\d+(\.\d+)?", "#", self.cause)


class Retries:
    """Counts the failures of a sweep's trials, and decides which trials are retried."""

    def __init__(self) -> None:
        self._failures: dict[int, list[Failure]] = {}
        """Failures of each trial since the last round that it finished."""
        self._given_up: dict[str, list[str]] = {}
        """Causes of the trials given up, by their kind."""
        self._any_round = False

    def went_well(self, number: int) -> None:
        """Forget the failures of a trial that finished a round."""
        self._any_round = True
        self._failures.pop(number, None)

    def retry(self, number: int, failure: Failure, *, own_fault: bool = True) -> bool:
        """Count a failure; returns whether to retry the trial.

        A trial is given up if it raises the same exception again by its ``own_fault``, and not by a
        machine's. It is also given up after `MAX_FAILURES` failures without a round.
        """
        before = self._failures.setdefault(number, [])
        raised_again = failure.is_exception and any(failure.kind == f.kind for f in before)
        before.append(failure)
        if not (raised_again and own_fault) and len(before) < MAX_FAILURES:
            return True
        self._given_up.setdefault(failure.kind, []).append(failure.cause)
        return False

    @property
    def systematic_failure(self) -> str | None:
        """Cause for which `SYSTEMATIC_FAILURES` trials were given up before any round finished."""
        if self._any_round or not self._given_up:
            return None
        causes = max(self._given_up.values(), key=len)
        return causes[0] if len(causes) >= SYSTEMATIC_FAILURES else None
