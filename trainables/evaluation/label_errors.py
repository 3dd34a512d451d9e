"""Likely label errors, found by a model that was not trained on the images."""

import numpy as np


def likely_label_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """``(k,)`` positions of images whose label is doubtful, the most doubtful first.

    Confident learning (Northcutt et al. 2021): the threshold of a class is its mean probability
    over the images that carry its label. The class suggested for an image is the likeliest of the
    classes that reach their threshold. A label is doubtful if the suggested class differs from it
    and is likelier than it. The larger the difference between the two probabilities, the more
    doubtful is the label.

    A doubtful label may be right and the model mistaken. A kind of label error that also occurs in
    the training images is not found, because the model has learned it.

    ``probabilities`` are ``(n, classes)``, from a model that was not trained on these images.
    ``labels`` are ``(n,)`` class numbers.
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
