"""Values that describe trials, shared by all rooms. Imports neither Optuna nor torch."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from spaces import TrialParams
from trainables.models import ModelCost
from trainables.training import EpochReport, best_of

Status = Literal["running", "completed", "stopped", "failed"]
"""State of a trial. "stopped" is ended early by its scheduler, "completed" by itself."""


def trial_name(number: int) -> str:
    """The id of a trial in every table, file and message: its number with four digits or more."""
    return f"{number:04d}"


@dataclass(frozen=True)
class Repeat:
    """A trial that runs an earlier one again with another seed, to measure the spread of scores."""

    of: int
    """Number of the trial that is repeated."""
    seed: int
    epochs: int
    """Epochs to run. The learning rate schedule is the repeated trial's, and may be longer."""


@dataclass(frozen=True)
class TrialRecord:
    """Everything that the journal knows about one trial."""

    number: int
    """Number in the study, counted from 0."""
    params: TrialParams
    status: Status
    reports: tuple[EpochReport, ...]
    """Metrics of each finished epoch, in order."""
    error: str
    """Reason why it failed; empty if it did not."""
    repeat: Repeat | None = None
    """The trial that it repeats; None for a trial of the search."""
    model_cost: ModelCost | None = None
    """Parameters, size and latency of its model; None unless one of them is an objective."""
    ended: datetime | None = None
    """Time of its end by the driver's clock; None while it runs."""

    @property
    def trial_id(self) -> str:
        """Its number as `trial_name` writes it."""
        return trial_name(self.number)

    @property
    def seconds(self) -> float:
        """Wall time of all its epochs, in seconds."""
        return sum(report.seconds for report in self.reports)

    def best(self, metric: str) -> EpochReport | None:
        """Its best epoch by ``metric``; None if no epoch has a finite value."""
        return best_of(self.reports, metric)


class TrialObserver(Protocol):
    """Listener to the progress of trials. Each event arrives once, those of one trial in order.

    A resumed sweep first replays the events of the journal.
    """

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """A trial starts, perhaps as the repeat of another."""

    def report(self, number: int, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def end(self, number: int, status: Status) -> None:
        """A trial ended."""
