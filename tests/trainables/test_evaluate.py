import numpy as np
import pytest
import torch

from spaces import TrialParams
from trainables import evaluate
from trainables.evaluate import logits_of, scores_of
from trainables.features import Inputs
from trainables.model import Preprocessing, build_model
from trainables.pixels import ImageSet
from trainables.prefix import whole
from trainables.weights import Weights


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
    inputs = Inputs(val_set, whole(model, 32), stated, device=torch.device("cpu"))
    together = logits_of(model, inputs)
    inputs.batch = 5
    assert together.shape == (len(val_set), 3)
    assert np.allclose(together, logits_of(model, inputs), atol=1e-5)


def test_the_test_metrics_of_a_known_confusion() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    probabilities = np.array([[0.9, 0.1]] * 7 + [[0.4, 0.6]] + [[0.2, 0.8], [0.7, 0.3]])
    metrics = evaluate.test_metrics(probabilities, labels, ["sound", "broken"])
    assert metrics.accuracy == 0.8
    low, high = metrics.accuracy_ci95
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)  # Wilson, 8 of 10
    assert metrics.confusion_matrix == [[7, 1], [1, 1]]
    assert metrics.per_class["broken"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "images": 2}
    assert metrics.roc_auc == pytest.approx(15 / 16)


def test_several_classes_have_a_roc_auc_unless_one_has_no_image() -> None:
    probabilities = np.eye(3)[[0, 1, 2, 2]] * 0.8 + 0.2 / 3
    assert evaluate.test_metrics(probabilities, np.array([0, 1, 2, 2]), "abc").roc_auc == 1
    assert evaluate.test_metrics(probabilities, np.array([0, 1, 1, 1]), "abc").roc_auc is None
