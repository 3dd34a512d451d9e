"""Reliability of predicted confidence: the calibration curve and the expected calibration error."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy in bins of equal width (Guo et al. 2017).

    The confidence of a prediction is the probability of the predicted class.
    """

    confidence: np.ndarray
    """``(bins,)`` mean confidence of the predictions in each bin; NaN in an empty bin."""
    accuracy: np.ndarray
    """``(bins,)`` share of correct predictions in each bin; NaN in an empty bin."""
    images: np.ndarray
    """``(bins,)`` number of images in each bin."""

    @property
    def error(self) -> float:
        """Expected calibration error: mean over images of their bin's |confidence - accuracy|."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.nansum(gaps * self.images) / self.images.sum())


def calibration_curve(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 15
) -> Calibration:
    """Compare confidence and accuracy, from ``(n, classes)`` probabilities and ``(n,)`` labels."""
    confidences = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidences * bins).astype(int), bins - 1)
    images = np.bincount(bin_of, minlength=bins)
    divisor = np.where(images, images, np.nan)
    return Calibration(
        confidence=np.bincount(bin_of, confidences, minlength=bins) / divisor,
        accuracy=np.bincount(bin_of, correct, minlength=bins) / divisor,
        images=images,
    )
