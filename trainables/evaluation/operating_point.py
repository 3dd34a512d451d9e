"""`OperatingPoint`: of two classes, when the one that must not be missed is answered."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for a wanted sensitivity."""

    positive: str
    """The class that must not be missed."""
    wanted: float
    """The share of its images that is to be found."""
    threshold: float
    """It is answered where its probability is this much or more."""

    @classmethod
    def fit(cls, positive: str, wanted: float, scores: np.ndarray, truth: np.ndarray) -> Self:
        """The highest threshold that finds enough of the ``(n,)`` images whose ``truth`` is True.

        ``scores`` are the ``(n,)`` probabilities of the positive class.
        """
        found = np.sort(scores[truth])[::-1]
        last = math.ceil(round(wanted * len(found), 6)) - 1  # 0.55 * 100 is a little over 55
        return cls(positive, wanted, float(found[last]))


@dataclass(frozen=True)
class Rates:
    """What an operating point came to on images that it was not fitted on."""

    point: OperatingPoint
    sensitivity: float
    sensitivity_ci95: tuple[float, float]
    specificity: float
    specificity_ci95: tuple[float, float]
    """Intervals are Wilson's (Wilson 1927)."""

    @property
    def rows(self) -> tuple[tuple[str, float, tuple[float, float]], ...]:
        """For tables: what, value and interval."""
        at = f"where {self.point.positive} is answered from {self.point.threshold:.3f} on"
        return (
            (f"sensitivity {at}", self.sensitivity, self.sensitivity_ci95),
            (f"specificity {at}", self.specificity, self.specificity_ci95),
        )

    @classmethod
    def of(cls, point: OperatingPoint, scores: np.ndarray, truth: np.ndarray) -> Self:
        """Of ``(n,)`` probabilities of the positive class, and whether it is the true one."""
        answered = scores >= point.threshold
        return cls(point, *_share(answered[truth]), *_share(~answered[~truth]))


def _share(right: np.ndarray) -> tuple[float, tuple[float, float]]:
    from scipy.stats import binomtest  # takes a second that who reads rates need not wait for

    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return float(right.mean()), (float(interval.low), float(interval.high))
