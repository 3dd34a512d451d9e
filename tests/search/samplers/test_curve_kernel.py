import numpy as np
import pytest

from search.samplers.curve_kernel import CurveKernel, Rounds


def test_the_slopes_of_a_kernel_are_those_of_its_covariances() -> None:
    rng = np.random.default_rng(0)
    rounds = Rounds(rng.random((12, 3)), rng.random(12), rng.integers(0, 4, 12))
    weights = rng.normal(size=(12, 12))
    weights += weights.T
    theta = rng.normal(size=9) * 0.3 - 1

    def weighted(theta: np.ndarray) -> float:
        kernel = CurveKernel(theta)
        return float((weights * (kernel.between(rounds, rounds) + kernel.noise * np.eye(12))).sum())

    step = 1e-5
    slopes = [
        (weighted(theta + step * e) - weighted(theta - step * e)) / (2 * step) for e in np.eye(9)
    ]
    assert CurveKernel(theta).derivatives(rounds, weights) == pytest.approx(slopes, abs=1e-6)
