"""Calibration: how far a model's confidence can be believed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be believed: the answers, in bins of equal width (Guo et al. 2017)."""

    confidence: np.ndarray
    """``(bins,)`` mean probability of the answers in each; NaN where there are none."""
    accuracy: np.ndarray
    """``(bins,)`` share of them that is right."""
    images: np.ndarray
    """``(bins,)`` how many there are."""

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of the two, over images."""
        far = np.abs(self.confidence - self.accuracy)
        return float(np.nansum(far * self.images) / self.images.sum())


def calibration_curve(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15
) -> Calibration:
    """Of ``(n, classes)`` probabilities against ``(n,)`` class numbers."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    at = np.minimum((best * bins).astype(int), bins - 1)
    images = np.bincount(at, minlength=bins)
    many = np.where(images, images, np.nan)
    return Calibration(
        confidence=np.bincount(at, best, minlength=bins) / many,
        accuracy=np.bincount(at, right, minlength=bins) / many,
        images=images,
    )
