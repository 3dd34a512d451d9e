"""Types that describe trials and their events; all parts of `search` use them.

This module imports neither Optuna nor torch.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from spaces import TrialParams
from trainables.models import ModelCost
from trainables.training import METRICS, RoundReport, best_of

Status = Literal["running", "completed", "stopped", "failed"]
"""State of a trial. "stopped": a stopping rule ended it early. "completed": it ended by itself."""

CURVES = ("train_loss", *METRICS, "learning_rate", "seconds", "images_per_second")
"""Fields of a `RoundReport` that trackers of experiments show as curves."""


def trial_name(number: int) -> str:
    """Id of a trial in every table, file and message: its number, padded to four digits."""
    return f"{number:04d}"


@dataclass(frozen=True)
class Repeat:
    """How a trial repeats an earlier trial: with the same parameters, but another seed.

    Repeats measure the spread of scores.
    """

    of: int
    """Number of the trial that is repeated."""
    seed: int
    rounds: int
    """Number of rounds to run. The learning-rate schedule is the one of the repeated trial, and may
    span more rounds."""
    part: int | None = None
    """Part of the training images (`Validation`) that scores the repeat, which trains on the
    validation images in return; None if these score it, as in earlier versions."""


@dataclass(frozen=True)
class TrialRecord:
    """Everything that the journal records about one trial."""

    number: int
    """Number in the study, counted from 0."""
    params: TrialParams
    status: Status
    reports: tuple[RoundReport, ...]
    """Metrics of each finished round, in order."""
    error: str
    """Reason why the trial failed; empty if it did not."""
    repeat: Repeat | None = None
    """The trial that this one repeats; None for a trial of the search."""
    model_cost: ModelCost | None = None
    """Parameters, size and latency of the model; None if the sweep minimizes none of these."""
    unused: frozenset[str] = frozenset()
    """Names of the parameters that mean nothing in this trial, because of the others."""
    ended: datetime | None = None
    """End of the trial by the driver's clock; None while it runs."""

    @property
    def trial_id(self) -> str:
        """The number, padded to four digits; see `trial_name`."""
        return trial_name(self.number)

    @property
    def seconds(self) -> float:
        """Wall time of all rounds, in seconds."""
        return sum(report.seconds for report in self.reports)

    def best(self, metric: str) -> RoundReport | None:
        """The best round by ``metric``; None if no round has a finite loss."""
        return best_of(self.reports, metric)


class TrialObserver(Protocol):
    """Observer of trials. Each event arrives once; the events of a trial arrive in order.

    A resumed sweep first replays the events of the journal.
    """

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """A trial starts; ``repeat`` is set if it repeats another trial."""

    def report(self, number: int, report: RoundReport) -> None:
        """A trial finished a round."""

    def pause(self, number: int) -> None:
        """A trial was stopped for now. Its next report says that it goes on."""

    def end(self, number: int, status: Status) -> None:
        """A trial ended."""
