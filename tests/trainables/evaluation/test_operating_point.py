import numpy as np
import pytest

from spaces import TrialParams
from trainables.evaluation import OperatingPoint, SensitivitySpecificity
from trainables.inference import ModelSpec

TRUTH = np.arange(20) < 10
SCORES = np.where(TRUTH, np.linspace(0.95, 0.05, 20), 0.1)


def test_the_highest_threshold_is_taken_that_finds_enough() -> None:
    positive = np.sort(SCORES[TRUTH])[::-1]
    for wanted, found in ((0.5, 5), (0.51, 6), (0.95, 10), (1.0, 10)):
        point = OperatingPoint.fit("crack", wanted, SCORES, TRUTH)
        assert point.threshold == positive[found - 1]
        assert (SCORES[TRUTH] >= point.threshold).mean() >= wanted


def test_a_share_of_many_images_is_not_one_image_too_many() -> None:
    scores, truth = np.linspace(1, 0, 100), np.ones(100, bool)
    assert OperatingPoint.fit("crack", 0.55, scores, truth).threshold == scores[54]


def test_rates_are_counted_on_other_images() -> None:
    point = OperatingPoint("crack", 0.9, 0.5)
    rates = SensitivitySpecificity.measure(
        point, np.array([0.9, 0.6, 0.4, 0.5, 0.1]), np.array([1, 1, 1, 0, 0], bool)
    )
    assert rates.sensitivity == pytest.approx(2 / 3)
    assert rates.specificity == 0.5
    low, high = rates.specificity_ci95
    assert 0 < low < 0.5 < high < 1


def test_a_spec_answers_by_its_point_and_is_read_back_with_it() -> None:
    params, labels = TrialParams(backbone="test_vit", image_size=32), ("crack", "sound")
    probabilities = np.array([[0.3, 0.7], [0.19, 0.81], [0.6, 0.4]])
    plain = ModelSpec.of(params, labels)
    assert plain.predict_classes(probabilities).tolist() == [1, 1, 0]
    careful = ModelSpec.of(params, labels, OperatingPoint("crack", 0.95, 0.2))
    assert careful.predict_classes(probabilities).tolist() == [0, 1, 0]
    for spec in (plain, careful):
        assert ModelSpec.from_json(spec.to_json()) == spec
