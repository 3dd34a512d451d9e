import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.evaluation import scores_of
from trainables.evaluation.metrics import balanced_accuracy, macro_f1
from trainables.inputs import FeatureLoader
from trainables.models import Preprocessing, Weights, build_model, unsplit
from trainables.training import logits_of


def test_scores_are_the_textbook_ones() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]))
    scores = scores_of(logits, np.array([0, 0, 1, 1]))
    assert scores.accuracy == 0.75
    assert scores.balanced_accuracy == 0.75
    assert scores.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores.loss == pytest.approx(-np.log([0.9, 0.6, 0.8, 0.3]).mean())


def test_logits_that_are_not_finite_give_no_scores() -> None:
    assert np.isnan(scores_of(np.full((2, 2), np.nan), np.array([0, 1])).accuracy)


def test_logits_come_in_order_whatever_the_batch(
    val_set: ImageSet,
    params: TrialParams,
    untrained: Weights,
) -> None:
    model = build_model(params, untrained, 3)
    torch.nn.init.normal_(model.classifier.weight)
    stated = Preprocessing.of("test_efficientnet")
    inputs = FeatureLoader(val_set, unsplit(model, 32), stated, device=torch.device("cpu"))
    together = logits_of(model, inputs)
    inputs.batch_size = 5
    assert together.shape == (len(val_set), 3)
    assert np.allclose(together, logits_of(model, inputs), atol=1e-5)


@pytest.mark.parametrize("missing", [(), (2,), (0, 3)])
def test_the_scores_of_uneven_classes_are_those_of_scikit_learn(missing: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(missing))
    there = [k for k in range(5) if k not in missing]
    labels, predicted = rng.choice(there, 200), rng.integers(5, size=200)
    f1 = f1_score(labels, predicted, labels=range(5), average="macro", zero_division=0)
    assert macro_f1(labels, predicted, 5) == pytest.approx(f1)
    seen = np.where(np.isin(predicted, missing), there[0], predicted)  # it warns of others
    expected = balanced_accuracy_score(labels, seen)
    assert balanced_accuracy(labels, seen) == pytest.approx(expected)
