"""Whether a trial that failed is tried again: faults of machines are, mistakes in code are not."""

from collections import Counter
from dataclasses import dataclass

MOST = 5
"""Failures without an epoch in between that a trial may have, of whatever kind."""
ALIKE = 3
"""Trials that may fail in one way, while none finishes an epoch, before the sweep is given up."""


@dataclass(frozen=True)
class Failure:
    """One end of a trial that was not its own."""

    cause: str
    """In one line; equal for equal mistakes."""
    text: str
    """All that is known of it, such as a traceback."""
    is_exception: bool
    """Raised by the trial's own code; else its worker or machine was lost."""
    ip: str = ""
    """Of the machine, if that is known."""


class Attempts:
    """The failures of a sweep's trials so far."""

    def __init__(self) -> None:
        self._failures: dict[int, list[Failure]] = {}
        self._given_up: Counter[str] = Counter()
        self._went_well = False

    def went_well(self, number: int) -> None:
        """A trial finished an epoch."""
        self._went_well = True
        self._failures.pop(number, None)

    def again(self, number: int, failure: Failure, *, its_own: bool = True) -> bool:
        """Whether to try a trial again that failed.

        Not if it raised the same exception before, and that is ``its_own`` fault rather than the
        machines', nor the `MOST`-th time without an epoch.
        """
        before = self._failures.setdefault(number, [])
        same = failure.is_exception and any(failure.cause == f.cause for f in before)
        before.append(failure)
        if not (same and its_own) and len(before) < MOST:
            return True
        self._given_up[failure.cause] += 1
        return False

    @property
    def hopeless(self) -> str | None:
        """The cause that trials fail by of which none ever worked; None while there is hope."""
        if self._went_well or not self._given_up:
            return None
        cause, count = self._given_up.most_common(1)[0]
        return cause if count >= ALIKE else None
