import numpy as np
import pytest

from trainables.evaluation import calibration_curve


def test_calibration_compares_confidence_with_accuracy() -> None:
    labels = np.zeros(10, dtype=int)
    probabilities = np.array([[0.95, 0.05]] * 4 + [[0.05, 0.95]] * 1 + [[0.62, 0.38]] * 5)
    curve = calibration_curve(probabilities, labels, bins=10)
    assert curve.images.tolist() == [0] * 6 + [5, 0, 0, 5]
    assert curve.accuracy[[6, 9]].tolist() == [1.0, 0.8]
    assert curve.error == pytest.approx((5 * abs(0.62 - 1) + 5 * abs(0.95 - 0.8)) / 10)


def test_a_bin_without_images_has_no_confidence_and_does_not_count() -> None:
    curve = calibration_curve(np.array([[1.0, 0.0]]), np.array([0]), bins=4)
    assert curve.images.tolist() == [0, 0, 0, 1]
    assert np.isnan(curve.confidence[:3]).all()
    assert curve.error == 0
