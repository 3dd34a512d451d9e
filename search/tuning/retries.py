"""`Retries`: decides whether a failed trial is retried.

Failures of machines are retried; exceptions that a trial raises again are not.
"""

from collections import Counter
from dataclasses import dataclass

MAX_FAILURES = 5
"""Number of failures without a finished epoch in between at which a trial is given up."""
SYSTEMATIC_FAILURES = 3
"""Number of trials given up for one cause, before any epoch finishes, that ends the sweep."""


@dataclass(frozen=True)
class Failure:
    """One failure of a trial."""

    cause: str
    """Cause in one line. Failures with the same line have the same cause."""
    text: str
    """Whole message, such as a traceback."""
    is_exception: bool
    """Whether the trial's own code raised it; False if a worker or machine was lost."""
    ip: str = ""
    """IP address of the machine where it happened; empty if unknown."""


class Retries:
    """Counts the failures of a sweep's trials, and decides which trials are retried."""

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
        """Count a failure; returns whether to retry the trial.

        A trial is given up if it raises the same exception again and that is its ``own_fault``,
        not a machine's. It is also given up after `MAX_FAILURES` failures without an epoch.
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
        """Cause by which `SYSTEMATIC_FAILURES` trials failed before any epoch finished, if any."""
        if self._any_epoch or not self._given_up:
            return None
        cause, count = self._given_up.most_common(1)[0]
        return cause if count >= SYSTEMATIC_FAILURES else None
