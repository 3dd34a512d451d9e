"""Charts of tests with few and many classes."""

import numpy as np
import pytest

from search.record import FinalModel, Member
from search.report import final_test_charts as testing
from search.report.html import Picture, Table
from spaces import TrialParams
from trainables.evaluation import Predictions, metrics


def answers(classes: int, images: int = 200, *, missing: int = 0) -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - missing, images)
    logits = rng.normal(size=(images, classes)) + 2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(tuple(f"class {k}" for k in range(classes)), labels, probabilities)


def final(some: Predictions) -> FinalModel:
    test = metrics.test_metrics(some.probabilities, some.labels, some.classes)
    return FinalModel(test, 0.5, (Member("0000", 3, 0.9, TrialParams(backbone="a")),))


@pytest.mark.parametrize(("classes", "missing"), [(2, 0), (3, 0), (12, 1), (60, 0)])
def test_every_number_of_classes_is_drawn(classes: int, missing: int) -> None:
    some = answers(classes, missing=missing)
    features = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float16)
    found = testing.blocks(some, final(some), features)
    alts = [block.alt for block in found if isinstance(block, Picture)]
    assert len(alts) == 5
    right = int((some.predicted == some.labels).sum())
    assert f"{right} of 200 are right" in alts[0]
    tables = [block for block in found if isinstance(block, Table)]
    assert len(tables[1].rows) == classes


def test_of_two_classes_the_rarer_is_the_positive_one() -> None:
    labels = np.array([0] * 10 + [1] * 4)
    some = Predictions(("sound", "broken"), labels, np.eye(2)[labels] * 0.8 + 0.1)
    found = testing.blocks(some, final(some), None)
    roc = next(b for b in found if isinstance(b, Picture) and "ROC" in b.alt)
    assert roc.alt == "ROC curves with areas broken 1.000."


def test_a_class_alone_in_the_test_has_no_curves() -> None:
    some = Predictions(("a", "b"), np.array([0, 0]), np.array([[0.9, 0.1], [0.4, 0.6]]))
    found = testing.blocks(some, final(some), None)
    assert not any("curves" in block.alt for block in found if isinstance(block, Picture))


def test_mistakes_are_told_by_how_often_they_are_made() -> None:
    labels, answers = np.array([0, 0, 0, 1, 2]), np.array([1, 1, 2, 1, 0])
    some = Predictions(("a", "b", "c"), labels, np.eye(3)[answers])
    assert testing.mistakes(some)[0] == ("a", "b", 2, pytest.approx(2 / 3))
    assert len(testing.mistakes(some)) == 3
