"""`OperatingPoint`: a decision threshold for binary classification with a required sensitivity."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from trainables.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class OperatingPoint:
    """A decision threshold, chosen for a required sensitivity."""

    positive: str
    """Name of the positive class: the one that must not be missed."""
    wanted: float
    """Required sensitivity: the share of positive images to be predicted positive."""
    threshold: float
    """The positive class is predicted if its probability is at least this threshold."""

    @classmethod
    def fit(cls, positive: str, wanted: float, scores: np.ndarray, truth: np.ndarray) -> Self:
        """Choose a threshold that reaches the sensitivity ``wanted``, at the highest specificity.

        All thresholds between the lowest positive that must be found and the next lower score of
        any image classify these images alike. The one in the middle is the least likely to miss a
        new image that is nearly as certain.

        ``scores`` are ``(n,)`` probabilities of the positive class; ``truth`` is ``(n,)`` bool,
        True for images of the positive class.
        """
        positives = np.sort(scores[truth])[::-1]
        # rounded up without the error of floating point: 0.55 * 100 is a little over 55
        last = math.ceil(round(wanted * len(positives), 6)) - 1
        found = float(positives[last])
        below = float(scores[scores < found].max(initial=0.0))
        return cls(positive, wanted, (found + below) / 2)


@dataclass(frozen=True)
class SensitivitySpecificity:
    """Sensitivity and specificity of an operating point, on images that did not determine it."""

    point: OperatingPoint
    sensitivity: float
    sensitivity_ci95: tuple[float, float]
    specificity: float
    specificity_ci95: tuple[float, float]
    """Both intervals are 95% intervals (Wilson 1927)."""

    @property
    def rows(self) -> tuple[tuple[str, float, tuple[float, float]], ...]:
        """Table rows: caption, value, 95% interval."""
        at = f"for {self.point.positive} at a threshold of {_readable(self.point.threshold)}"
        return (
            (f"sensitivity {at}", self.sensitivity, self.sensitivity_ci95),
            (f"specificity {at}", self.specificity, self.specificity_ci95),
        )

    @classmethod
    def measure(cls, point: OperatingPoint, scores: np.ndarray, truth: np.ndarray) -> Self:
        """Measure sensitivity and specificity; ``scores`` and ``truth`` are as in `fit`."""
        predicted = scores >= point.threshold
        return cls(point, *_proportion(predicted[truth]), *_proportion(~predicted[~truth]))


def _readable(threshold: float) -> str:
    """The threshold with three decimals, or with as many as tell it from 0 and 1."""
    distance = min(threshold, 1 - threshold)
    decimals = 3 if distance <= 0 else max(3, 1 - math.floor(math.log10(distance)))
    return f"{threshold:.{decimals}f}"


def _proportion(correct: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Share of True in ``(n,)`` bool, and its 95% interval."""
    return float(correct.mean()), wilson_interval(int(correct.sum()), len(correct))
