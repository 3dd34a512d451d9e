"""Trials with given accuracies, and search histories made of them."""

from datetime import datetime, timedelta

from search.record import Status, TrialRecord
from search.report.sweep_data import SearchHistory
from spaces import SearchSpace, TrialParams
from tests.support.round_reports import report

SPACE = SearchSpace.from_table(
    {
        "backbone": {"choices": ["a", "b"]},
        "unfreeze": {"low": 0, "high": 1},
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    },
    name="test",
)
BEGAN = datetime(2026, 1, 1)


def trial_of(number: int, *accuracies: float, status: Status = "completed") -> TrialRecord:
    """Trial with one accuracy per epoch. Its backbone is "a" if the number is even, else "b"."""
    params = TrialParams(
        backbone="ab"[number % 2], unfreeze=number / 20, learning_rate=1e-3 * (1 + number)
    )
    reports = tuple(report(epoch, value) for epoch, value in enumerate(accuracies, start=1))
    ended = BEGAN + timedelta(minutes=number + 1)
    return TrialRecord(number, params, status, reports, "", ended=ended)


def history_of(trials: list[TrialRecord], metric: str = "val_accuracy") -> SearchHistory:
    """Search history of these trials, over `SPACE`."""
    return SearchHistory.of(trials, metric, SPACE, {})
