"""Random predictions, and a final model with their test metrics."""

import numpy as np

from search.record import FinalModel, RetrainedTrial
from spaces import TrialParams
from trainables.evaluation import Predictions, test_metrics


def random_predictions(classes: int, images: int = 200, *, absent: int = 0) -> Predictions:
    """Predictions that are mostly right. The last ``absent`` classes have no images."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes - absent, images)
    logits = rng.normal(size=(images, classes)) + 2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Predictions(tuple(f"class {k}" for k in range(classes)), labels, probabilities)


def final_model_of(predictions: Predictions) -> FinalModel:
    """Final model of one trial, with the test metrics of these predictions."""
    test = test_metrics(predictions.probabilities, predictions.labels, predictions.classes)
    return FinalModel(test, 0.5, (RetrainedTrial("0000", 3, 0.9, TrialParams(backbone="a")),))
