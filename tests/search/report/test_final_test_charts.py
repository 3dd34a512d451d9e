import numpy as np
import pytest

from search.report.final_test_charts import Confusion, final_test_blocks, most_frequent_confusions
from search.report.html import Picture, Table
from tests.support.predictions import final_model_of, random_predictions
from trainables.evaluation import Predictions


def alts(predictions: Predictions, features: np.ndarray | None = None) -> list[str]:
    blocks = final_test_blocks(predictions, final_model_of(predictions), features)
    return [block.alt for block in blocks if isinstance(block, Picture)]


@pytest.mark.parametrize(("classes", "absent"), [(2, 0), (3, 0), (12, 1), (60, 0)])
def test_every_number_of_classes_is_drawn(classes: int, absent: int) -> None:
    predictions = random_predictions(classes, absent=absent)
    features = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float16)
    blocks = final_test_blocks(predictions, final_model_of(predictions), features)
    pictures = [block.alt for block in blocks if isinstance(block, Picture)]
    assert len(pictures) == 5
    correct = int(predictions.correct.sum())
    assert f"{correct} of 200 test images are classified correctly" in pictures[0]
    tables = [block for block in blocks if isinstance(block, Table)]
    assert len(tables[1].rows) == classes


def test_the_rarer_of_two_classes_is_the_positive_one() -> None:
    labels = np.array([0] * 10 + [1] * 4)
    predictions = Predictions(("sound", "broken"), labels, np.eye(2)[labels] * 0.8 + 0.1)
    assert "ROC curves; area under the curve: broken 1.000." in alts(predictions)


def test_a_test_of_one_class_alone_has_no_curves() -> None:
    predictions = Predictions(("a", "b"), np.array([0, 0]), np.array([[0.9, 0.1], [0.4, 0.6]]))
    assert not any("curves" in alt for alt in alts(predictions))


def test_confusions_are_ordered_by_frequency_and_then_by_class() -> None:
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([1, 1, 2, 1, 0])
    predictions = Predictions(("a", "b", "c"), labels, np.eye(3)[predicted])
    assert most_frequent_confusions(predictions) == [
        Confusion("a", "b", 2, pytest.approx(2 / 3)),
        Confusion("a", "c", 1, pytest.approx(1 / 3)),
        Confusion("c", "a", 1, pytest.approx(1)),
    ]


@pytest.mark.parametrize(
    ("sharpness", "verdict"), [(20.0, "is overconfident"), (0.1, "is less confident than it could")]
)
def test_the_caption_of_the_reliability_diagram_judges_the_confidence(
    sharpness: float, verdict: str
) -> None:
    predictions = random_predictions(3)
    logits = sharpness * np.log(predictions.probabilities)
    scaled = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    predictions = Predictions(predictions.classes, predictions.labels, scaled)
    blocks = final_test_blocks(predictions, final_model_of(predictions), None)
    (reliability,) = (b for b in blocks if isinstance(b, Picture) and "Reliability" in b.alt)
    assert f"The model {verdict}" in reliability.caption


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_features_that_do_not_differ_or_are_not_finite_have_no_map(value: float) -> None:
    predictions = random_predictions(3)
    features = np.full((len(predictions.labels), 4), value, np.float16)
    blocks = final_test_blocks(predictions, final_model_of(predictions), features)
    assert not any(isinstance(block, Picture) and "t-SNE" in block.alt for block in blocks)
