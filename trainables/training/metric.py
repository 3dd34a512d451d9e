"""`Metric`: a validation metric that trials are ranked by. Does not import torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from trainables.evaluation import Scores
    from trainables.training.round_report import RoundReport


@dataclass(frozen=True)
class Metric:
    """A validation metric, and the direction in which it improves."""

    name: str
    """Name of the metric, and of the field of `RoundReport` that holds its value."""
    direction: Literal["max", "min"]
    """Whether a higher ("max") or a lower ("min") value is better."""

    @property
    def sign(self) -> Literal[1, -1]:
        """1 if higher is better, else -1: a higher ``sign * value`` is always better."""
        return 1 if self.direction == "max" else -1

    def of(self, report: RoundReport) -> float:
        """Value of the metric in one round; NaN without a validation split."""
        value: float = getattr(report, self.name)
        return value

    def of_scores(self, scores: Scores) -> float:
        """Value of the metric among the scores of one evaluation."""
        value: float = getattr(scores, self.name.removeprefix("val_"))
        return value

    def better(self, value: float, other: float) -> bool:
        """Whether ``value`` is strictly better than ``other``; False if either is NaN."""
        return value > other if self.direction == "max" else value < other


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("val_accuracy", "max"),
        Metric("val_balanced_accuracy", "max"),
        Metric("val_macro_f1", "max"),
        Metric("val_loss", "min"),
    )
}
"""All metrics that can rank the trials of a sweep: a dict by name."""


def merit(report: RoundReport, metric: str) -> tuple[float, float]:
    """Sort key, highest for the best report: the metric, and for equal metrics the lower loss."""
    ranked_by = METRICS[metric]
    return ranked_by.sign * ranked_by.of(report), -report.val_loss


def best_of(reports: Iterable[RoundReport | None], metric: str) -> RoundReport | None:
    """The report with the highest `merit`, the first among equals; None if there is none.

    Ties in the metric are common where validation images are few, so the loss breaks them. Reports
    of diverged rounds and entries that are None are skipped.
    """
    candidates = [report for report in reports if report is not None and not report.diverged]
    return max(candidates, key=lambda report: merit(report, metric), default=None)


def last_as_good(reports: Iterable[RoundReport], metric: str, images: float) -> RoundReport | None:
    """The last report whose metric is within a standard error of the best one's.

    The best of a trial's scores is in part luck, and later rounds, at lower learning rates, are
    mostly as good or better: results/benchmarks/retraining_length.md has what this gains. If the
    metric is a loss, it is the best report. None if there is no report that has not diverged.
    """
    best = best_of(kept := tuple(reports), metric)
    if best is None or METRICS[metric].direction == "min":
        return best
    good = [r for r in kept if not r.diverged and is_as_good(r, best, metric, images)]
    return max(good, key=lambda report: report.round)


def is_as_good(report: RoundReport, best: RoundReport, metric: str, images: float) -> bool:
    """Whether a report's metric is within a standard error of the best one's.

    The metric must be one that is maximized. The standard error is that of a share of ``images``
    validation images, after two right and two wrong images are added (Agresti and Coull 1998): so
    it is not 0 if all are right.
    """
    share, more = METRICS[metric].of(best), images + 4
    typical = (share * images + 2) / more
    return METRICS[metric].of(report) >= share - math.sqrt(typical * (1 - typical) / more)
