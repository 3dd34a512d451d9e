"""Images whose label is likely wrong, by a model that was not trained on them."""

import numpy as np


def likely_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Positions of images that a model finds another class in, the surest first.

    Confident learning (Northcutt et al. 2021): a class counts as found where it has at least the
    mean probability that it has in the images labelled so; an image is suspected where the
    likeliest class found is not its label. It is no proof: a model's own mistakes look the same,
    and errors that the training labels repeat are not found.

    ``probabilities`` is ``(n, classes)`` of held-out images, ``labels`` ``(n,)`` class numbers.
    """
    classes = probabilities.shape[1]
    thresholds = np.ones(classes)
    for k in np.unique(labels):
        thresholds[k] = probabilities[labels == k, k].mean()
    found = np.where(probabilities >= thresholds, probabilities, -1)
    best = found.argmax(axis=1)
    rows = np.arange(len(labels))
    suspected = (found[rows, best] >= 0) & (best != labels)
    margin = probabilities[rows, best] - probabilities[rows, labels]
    order = np.argsort(-margin, kind="stable")
    errors: np.ndarray = order[suspected[order] & (margin[order] > 0)]
    return errors
