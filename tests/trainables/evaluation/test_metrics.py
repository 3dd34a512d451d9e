import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from trainables.evaluation import metrics, scores_of
from trainables.evaluation.metrics import balanced_accuracy, macro_f1


def test_test_metrics_are_right_for_a_known_confusion_matrix() -> None:
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


def test_scores_equal_the_textbook_definitions() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]))
    scores = scores_of(logits, np.array([0, 0, 1, 1]))
    assert scores.accuracy == 0.75
    assert scores.balanced_accuracy == 0.75
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores.loss == pytest.approx(-np.log([0.9, 0.6, 0.8, 0.3]).mean())


def test_logits_that_are_not_finite_give_no_scores() -> None:
    assert np.isnan(scores_of(np.full((2, 2), np.nan), np.array([0, 1])).accuracy)


@pytest.mark.parametrize("missing", [(), (2,), (0, 3)])
def test_scores_of_uneven_classes_equal_those_of_scikit_learn(missing: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(missing))
    there = [k for k in range(5) if k not in missing]
    labels, predicted = rng.choice(there, 200), rng.integers(5, size=200)
    f1 = f1_score(labels, predicted, labels=range(5), average="macro", zero_division=0)
    assert macro_f1(labels, predicted, 5) == pytest.approx(f1)
    seen = np.where(np.isin(predicted, missing), there[0], predicted)  # it warns of others
    expected = balanced_accuracy_score(labels, seen)
    assert balanced_accuracy(labels, seen) == pytest.approx(expected)
