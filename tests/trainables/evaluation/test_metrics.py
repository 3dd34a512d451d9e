import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trainables.evaluation import bootstrap_intervals, calibration_curve, metrics
from trainables.evaluation.intervals import BootstrapIntervals


def test_the_test_metrics_of_a_known_confusion() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    probabilities = np.array([[0.9, 0.1]] * 7 + [[0.4, 0.6]] + [[0.2, 0.8], [0.7, 0.3]])
    found = metrics.test_metrics(probabilities, labels, ["sound", "broken"])
    assert found.accuracy == 0.8
    low, high = found.accuracy_ci95
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)  # Wilson, 8 of 10
    assert found.confusion_matrix == [[7, 1], [1, 1]]
    assert found.per_class["broken"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2}
    assert found.roc_auc == pytest.approx(15 / 16)


def test_several_classes_have_a_roc_auc_unless_one_has_no_image() -> None:
    probabilities = np.eye(3)[[0, 1, 2, 2]] * 0.8 + 0.2 / 3
    assert metrics.test_metrics(probabilities, np.array([0, 1, 2, 2]), "abc").roc_auc == 1
    assert metrics.test_metrics(probabilities, np.array([0, 1, 1, 1]), "abc").roc_auc is None


def test_calibration_compares_confidence_with_what_is_right() -> None:
    labels = np.zeros(10, dtype=int)
    sure = np.array([[0.95, 0.05]] * 4 + [[0.05, 0.95]] * 1 + [[0.62, 0.38]] * 5)
    found = calibration_curve(sure, labels, bins=10)
    assert found.images.tolist() == [0] * 6 + [5, 0, 0, 5]
    assert found.accuracy[[6, 9]].tolist() == [1.0, 0.8]
    assert found.error == pytest.approx((5 * abs(0.62 - 1) + 5 * abs(0.95 - 0.8)) / 10)


def test_intervals_hold_what_was_measured_and_narrow_with_the_images() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (100, 1600):
        labels = rng.integers(0, 3, count)
        logits = rng.normal(size=(count, 3)) + 1.5 * np.eye(3)[labels]
        logits = logits.round(1)  # equal scores count half
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        test = metrics.test_metrics(probabilities, labels, "abc")
        found = bootstrap_intervals(probabilities, labels)
        assert found.roc_auc is not None
        for value, (low, high) in (
            (test.balanced_accuracy, found.balanced_accuracy),
            (test.macro_f1, found.macro_f1),
            (test.roc_auc, found.roc_auc),
        ):
            assert low < value < high
        widths.append(found.roc_auc[1] - found.roc_auc[0])
    assert 2.5 < widths[0] / widths[1] < 6


def test_what_can_not_vary_has_no_interval() -> None:
    perfect, labels = np.eye(2)[[0, 0, 1]], np.array([0, 0, 1])
    assert bootstrap_intervals(perfect, labels) == BootstrapIntervals(None, None, None)
    missing = bootstrap_intervals(np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([0, 0]))
    assert missing.roc_auc is None


def test_an_area_of_images_drawn_once_is_the_area() -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.random(50).round(1), rng.random(50) < 0.3
    (area,) = metrics._drawn_auc(scores, positive, np.ones((1, 50)))
    assert area == pytest.approx(roc_auc_score(positive, scores))
