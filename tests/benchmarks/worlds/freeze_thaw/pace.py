"""How long a round of a point lasts, learnt from the rounds of other points."""

from collections.abc import Sequence

import numpy as np

_RIDGE = 0.3
"""Weight of the squared coefficients against the squared errors of the logarithms."""


def expected_seconds(tried: np.ndarray, seconds: Sequence[float], points: np.ndarray) -> np.ndarray:
    """Expected duration ``(m,)`` of a round at embedded points ``(m, d)``.

    The logarithm of the duration is a linear function of the embedding, by ridge regression on the
    points ``(n, d)`` that were ``tried``.
    """
    logs, centre = np.log(np.maximum(seconds, 1e-3)), tried.mean(axis=0)
    centred = tried - centre
    gram = centred.T @ centred + _RIDGE * np.eye(tried.shape[1])
    slopes = np.linalg.solve(gram, centred.T @ (logs - logs.mean()))
    return np.asarray(np.exp(logs.mean() + (points - centre) @ slopes))
