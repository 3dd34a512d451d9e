"""Trials as values: what one is asked to run, and what is recorded of it. Light to import."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from spaces import TrialParams
from trainables.models import Footprint
from trainables.training import EpochReport, best_of

Status = Literal["running", "completed", "stopped", "failed"]


def trial_name(number: int) -> str:
    """The name of a trial everywhere: its number in the study."""
    return f"{number:04d}"


@dataclass(frozen=True)
class Repeat:
    """A trial run again with another seed, to see how much of its score was luck."""

    of: int
    """The number of that trial."""
    seed: int
    epochs: int
    """After which it ends; the schedule is the trial's."""


@dataclass(frozen=True)
class TrialRecord:
    """What the journal knows of one trial."""

    number: int
    params: TrialParams
    status: Status
    reports: tuple[EpochReport, ...]
    """One per epoch, in order."""
    error: str
    """Why it failed, else empty."""
    repeat: Repeat | None = None
    """What it repeats; None for a trial of the search."""
    footprint: Footprint | None = None
    """What its model costs in use, if that is an objective."""
    ended: datetime | None = None
    """When, by the driver's clock; None while it runs."""

    @property
    def trial_id(self) -> str:
        """Its name."""
        return trial_name(self.number)

    @property
    def seconds(self) -> float:
        """Wall time of its epochs."""
        return sum(report.seconds for report in self.reports)

    def best(self, metric: str) -> EpochReport | None:
        """Its best epoch by ``metric``; None if it has no finite one."""
        return best_of(self.reports, metric)


class Observer(Protocol):
    """Is told what becomes of each trial, once and in order."""

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """A trial begins, or another one is repeated."""

    def report(self, number: int, report: EpochReport) -> None:
        """It finished an epoch."""

    def end(self, number: int, status: Status) -> None:
        """It is over."""
