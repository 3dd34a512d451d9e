"""`Retries`: whether a failed trial is tried again.

Faults of machines are retried, mistakes in code are not.
"""

from collections import Counter
from dataclasses import dataclass

MAX_FAILURES = 5
"""Failures of whatever kind that a trial may have without an epoch in between."""
SYSTEMATIC_FAILURES = 3
"""Trials that may fail by one cause, while none finishes an epoch, before the sweep is given up."""


@dataclass(frozen=True)
class Failure:
    """A failure of a trial."""

    cause: str
    """The cause in one line; equal causes are compared by it."""
    text: str
    """All that is known, such as a traceback."""
    is_exception: bool
    """Whether the trial's own code raised it; else its worker or machine was lost."""
    ip: str = ""
    """IP address of the machine; empty if unknown."""


class Retries:
    """Counts the failures of a sweep's trials, and decides which trials are tried again."""

    def __init__(self) -> None:
        self._failures: dict[int, list[Failure]] = {}
        """Failures of each trial since its last epoch."""
        self._given_up: Counter[str] = Counter()
        """Trials given up, by cause."""
        self._any_epoch = False

    def went_well(self, number: int) -> None:
        """Forget the failures of a trial that finished an epoch."""
        self._any_epoch = True
        self._failures.pop(number, None)

    def retry(self, number: int, failure: Failure, *, own_fault: bool = True) -> bool:
        """Count a failure; returns whether to try the trial again.

        A trial is given up when it raises an exception that it raised before, if that is its
        ``own_fault`` and not a machine's, and at the `MAX_FAILURES`-th failure without an epoch.
        """
        before = self._failures.setdefault(number, [])
        raised_again = failure.is_exception and any(failure.cause == f.cause for f in before)
        before.append(failure)
        if not (raised_again and own_fault) and len(before) < MAX_FAILURES:
            return True
        self._given_up[failure.cause] += 1
        return False

    @property
    def systematic_failure(self) -> str | None:
        """Cause by which trials fail of which none ever worked; None while one may work."""
        if self._any_epoch or not self._given_up:
            return None
        cause, count = self._given_up.most_common(1)[0]
        return cause if count >= SYSTEMATIC_FAILURES else None
