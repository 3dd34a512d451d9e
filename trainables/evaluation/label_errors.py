"""Likely label errors, found by a model that was not trained on the images."""

import numpy as np


def likely_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(k,)`` positions of images whose label is doubtful, the most doubtful first.

    Confident learning (Northcutt et al. 2021): the threshold of a class is its mean probability
    over the images that carry its label. An image is a suspect if the
    likeliest class among those that reach their threshold is not its label. Suspects are ordered by
    how far the probability of that class exceeds that of the label.

    A suspect may also be a mistake of the model. Errors that are systematic in the training labels
    are not found.

    ``probabilities`` is ``(n, classes)`` of held-out images, ``labels`` ``(n,)`` class numbers.
    """
    classes = probabilities.shape[1]
    thresholds = np.ones(classes)
    for k in np.unique(labels):
        thresholds[k] = probabilities[labels == k, k].mean()
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    likeliest = confident.argmax(axis=1)
    rows = np.arange(len(labels))
    suspected = (confident[rows, likeliest] >= 0) & (likeliest != labels)
    margin = probabilities[rows, likeliest] - probabilities[rows, labels]
    order = np.argsort(-margin, kind="stable")
    errors: np.ndarray = order[suspected[order] & (margin[order] > 0)]
    return errors
