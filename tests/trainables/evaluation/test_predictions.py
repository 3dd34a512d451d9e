from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainables.evaluation import Predictions


@pytest.fixture
def predictions() -> Predictions:
    labels = np.array([1, 0, 1])
    return Predictions(("a", "b"), labels, np.array([[0.4, 0.6], [0.3, 0.7], [0.1, 0.9]]))


def test_predictions_are_read_back_as_they_were_written(
    predictions: Predictions, tmp_path: Path
) -> None:
    predictions.write(tmp_path / "p.parquet", ["x.png", "y.png", "z.png"])
    again = Predictions.read(tmp_path / "p.parquet", ["a", "b"])
    assert again.labels.tolist() == [1, 0, 1]
    assert again.probabilities.tolist() == predictions.probabilities.tolist()
    assert pd.read_parquet(tmp_path / "p.parquet")["predicted"].tolist() == ["b", "b", "b"]


def test_columns_are_matched_by_class_name(predictions: Predictions, tmp_path: Path) -> None:
    predictions.write(tmp_path / "p.parquet", ["x.png", "y.png", "z.png"])
    swapped = Predictions.read(tmp_path / "p.parquet", ["b", "a"])
    assert swapped.labels.tolist() == [0, 1, 0]
    assert swapped.probabilities.tolist() == predictions.probabilities[:, ::-1].tolist()
    with pytest.raises(KeyError, match=r"p\.c"):
        Predictions.read(tmp_path / "p.parquet", ["a", "b", "c"])


def test_the_confusion_matrix_has_true_classes_in_rows(predictions: Predictions) -> None:
    assert predictions.confusion.tolist() == [[0, 1], [0, 2]]
    assert predictions.correct.tolist() == [True, False, True]
