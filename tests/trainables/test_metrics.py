import numpy as np
import pytest

from trainables import metrics


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
