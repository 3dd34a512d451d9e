import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from trainables.evaluation import bootstrap_intervals, metrics, wilson_interval
from trainables.evaluation.intervals import BootstrapIntervals, _resampled_auc


def test_the_wilson_interval_has_known_values() -> None:
    low, high = wilson_interval(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson_interval(0, 5)[0] == 0
    assert wilson_interval(5, 5)[1] == 1


def test_bootstrap_intervals_contain_the_metric_and_narrow_with_more_images() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (100, 1600):
        labels = rng.integers(0, 3, count)
        logits = rng.normal(size=(count, 3)) + 1.5 * np.eye(3)[labels]
        logits = logits.round(1)  # equal scores count half
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        test = metrics.test_metrics(probabilities, labels, "abc")
        intervals = bootstrap_intervals(probabilities, labels)
        assert intervals.roc_auc is not None
        for value, (low, high) in (
            (test.balanced_accuracy, intervals.balanced_accuracy),
            (test.macro_f1, intervals.macro_f1),
            (test.roc_auc, intervals.roc_auc),
        ):
            assert low < value < high
        widths.append(intervals.roc_auc[1] - intervals.roc_auc[0])
    assert 2.5 < widths[0] / widths[1] < 6


def test_a_metric_that_is_constant_over_resamples_has_no_interval() -> None:
    perfect, labels = np.eye(2)[[0, 0, 1]], np.array([0, 0, 1])
    assert bootstrap_intervals(perfect, labels) == BootstrapIntervals(None, None, None)
    missing = bootstrap_intervals(np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([0, 0]))
    assert missing.roc_auc is None


def test_the_auc_without_weights_equals_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    scores, positive = rng.random(50).round(1), rng.random(50) < 0.3
    (area,) = _resampled_auc(scores, positive, np.ones((1, 50)))
    assert area == pytest.approx(roc_auc_score(positive, scores))
