import numpy as np
import pytest

from trainables.evaluation import OperatingPoint, SensitivitySpecificity

TRUTH = np.arange(20) < 10
SCORES = np.where(TRUTH, np.linspace(0.95, 0.05, 20), 0.1)


def test_just_enough_positives_are_above_the_threshold() -> None:
    for wanted, images in ((0.5, 5), (0.51, 6), (0.95, 10), (1.0, 10)):
        point = OperatingPoint.fit("crack", wanted, SCORES, TRUTH)
        assert (SCORES[TRUTH] >= point.threshold).sum() == images
        assert not (SCORES[~TRUTH] >= point.threshold).any()


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [([1.0, 1.0, 0.2, 0.1], 0.6), ([0.9, 0.5, 0.5, 0.4], 0.45), ([0.9, 0.8, 0.8, 0.9], 0.4)],
)
def test_the_threshold_lies_between_the_last_positive_and_the_next_lower_score(
    scores: list[float], threshold: float
) -> None:
    point = OperatingPoint.fit("crack", 1.0, np.array(scores), np.array([1, 1, 0, 0], bool))
    assert point.threshold == pytest.approx(threshold)


def test_rounding_errors_in_the_sensitivity_do_not_require_another_image() -> None:
    scores, truth = np.linspace(1, 0, 100), np.ones(100, bool)
    threshold = OperatingPoint.fit("crack", 0.55, scores, truth).threshold
    assert (scores >= threshold).sum() == 55


def test_sensitivity_and_specificity_are_shares_of_each_class() -> None:
    point = OperatingPoint("crack", 0.9, 0.5)
    rates = SensitivitySpecificity.measure(
        point, np.array([0.9, 0.6, 0.4, 0.5, 0.1]), np.array([1, 1, 1, 0, 0], bool)
    )
    assert rates.sensitivity == pytest.approx(2 / 3)
    assert rates.specificity == 0.5
    low, high = rates.specificity_ci95
    assert 0 < low < 0.5 < high < 1


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [(0.31249, "0.312"), (0.00042, "0.00042"), (0.99996, "0.999960"), (1.0, "1.000")],
)
def test_a_threshold_is_shown_with_enough_decimals_to_be_told_from_0_and_1(
    threshold: float, shown: str
) -> None:
    point = OperatingPoint("crack", 0.9, threshold)
    rates = SensitivitySpecificity.measure(point, SCORES, TRUTH)
    assert [row[0] for row in rates.rows] == [
        f"sensitivity for crack at a threshold of {shown}",
        f"specificity for crack at a threshold of {shown}",
    ]
