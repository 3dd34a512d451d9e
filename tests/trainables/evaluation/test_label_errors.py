import numpy as np

from trainables.evaluation import likely_label_errors


def test_wrong_labels_are_suspected_and_uncertain_predictions_are_not() -> None:
    truth = np.repeat([0, 1, 2], 20)
    probabilities = np.eye(3)[truth] * 0.8 + 0.2 / 3
    labels = truth.copy()
    labels[[3, 27]] = [1, 2]
    probabilities[3] = [0.97, 0.02, 0.01]
    probabilities[50] = [0.36, 0.31, 0.33]  # unsure, of no class as sure as others
    assert likely_label_errors(probabilities, labels).tolist() == [3, 27]


def test_a_class_without_images_is_never_suspected() -> None:
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8]])
    assert likely_label_errors(probabilities, np.array([0, 0])).size == 0
