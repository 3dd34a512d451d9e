"""`Posterior`: a Gaussian process over learning curves, fitted with scikit-learn.

The model is that of multi-fidelity Bayesian optimization (Kandasamy et al. 2017, "Multi-fidelity
Bayesian Optimisation with Continuous Approximations"), with these symbols:

====================  ===========================================================================
x                     a point of the search space, embedded by `UnitCube`
z in [0, 1]           the fidelity: log(round) / log(max_rounds)
g(z, x)               the standardized metric at that fidelity; a Gaussian process
f(x) = g(1, x)        the standardized metric after the last round, which is maximized
====================  ===========================================================================

The kernel is one Matérn 5/2 over (x, z) with a length scale for each coordinate, plus white noise.
Unlike in the paper, the fidelity of an evaluation is not chosen. Every trial begins at round 1, and
early stopping decides when it ends.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from search.samplers.learning_curves import LearningCurve
from search.samplers.unit_cube import UnitCube


def prior_kernel(cube: UnitCube) -> Kernel:
    """The kernel before any data: unit variance and length scales, noise variance 0.1.

    `Posterior.fit` centres the prior of the hyperparameters at these values.
    """
    coordinates = cube.embedded_size + 1  # one more for the fidelity
    matern = Matern(np.ones(coordinates), (0.05, 20), nu=2.5)
    return ConstantKernel(1.0, (0.05, 20)) * matern + WhiteKernel(0.1, (1e-3, 2))


@dataclass(frozen=True)
class Posterior:
    """The distribution of f(x), given some learning curves.

    Scores are standardized, so they can be compared only with other scores of the same posterior.
    """

    curves: Sequence[LearningCurve]
    """The curves that the process is conditioned on."""
    cube: UnitCube
    max_rounds: int
    process: GaussianProcessRegressor
    """g(z, x), fitted to every round of the curves."""

    @classmethod
    def fit(
        cls,
        curves: Sequence[LearningCurve],
        cube: UnitCube,
        max_rounds: int,
        kernel: Kernel,
        *,
        prior: Kernel | None,
    ) -> Self:
        """Condition on every round of the curves.

        With a ``prior``, the hyperparameters are fitted as well, starting from those of ``kernel``.
        Without a prior, the hyperparameters are those of ``kernel``.
        """
        rows = [(c.params, n, v) for c in curves for n, v in zip(c.rounds, c.values, strict=True)]
        points, rounds, values = zip(*rows, strict=True)
        inputs = _inputs(cube, cube.encode(points), rounds, max_rounds)
        optimizer = _map_optimizer(prior.theta) if prior is not None else None
        process = GaussianProcessRegressor(kernel, optimizer=optimizer)
        with warnings.catch_warnings():
            # A length scale at its bound is no fault: that coordinate has no influence.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(inputs, standardized(np.array(values)))
        return cls(curves, cube, max_rounds, process)

    @property
    def kernel(self) -> Kernel:
        """The kernel with the hyperparameters of this posterior."""
        return self.process.kernel_

    def final_scores(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of f at ``(n, p)`` codes of the cube, ``(n,)`` each.

        The standard deviation does not include measurement noise.
        """
        inputs = _inputs(self.cube, codes, self.max_rounds, self.max_rounds)
        mean, std_with_noise = self.process.predict(inputs, return_std=True)
        noise_variance = self.process.kernel_.k2.noise_level  # k2: white noise
        return mean, np.sqrt(np.maximum(std_with_noise**2 - noise_variance, 1e-12))

    def final_scores_of(self, points: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """`final_scores` of ``n`` points, each of which maps parameter names to values."""
        return self.final_scores(self.cube.encode(points))

    def fantasize(self, points: Sequence[Mapping[str, Any]]) -> Self:
        """Condition on the posterior mean at pending points, so that these are not proposed again.

        This is the kriging believer of Ginsbourger et al. 2010. The hyperparameters do not change.
        """
        if not points:
            return self
        inputs = _inputs(self.cube, self.cube.encode(points), self.max_rounds, self.max_rounds)
        all_inputs = np.vstack([self.process.X_train_, inputs])
        scores = np.concatenate([self.process.y_train_, self.process.predict(inputs)])
        process = GaussianProcessRegressor(self.process.kernel_, optimizer=None)
        return replace(self, process=process.fit(all_inputs, scores))

    def expected_improvement(self, codes: np.ndarray, incumbent: float) -> np.ndarray:
        """Expected improvement over the ``incumbent`` score, ``(n,)`` for ``(n, p)`` codes.

        It is s (u Phi(u) + phi(u)) with u = (m - incumbent) / s, where m and s are the mean and the
        standard deviation of the score (Jones et al. 1998).
        """
        mean, std = self.final_scores(codes)
        u = (mean - incumbent) / std
        return np.asarray(std * (u * norm.cdf(u) + norm.pdf(u)))


def _inputs(
    cube: UnitCube, codes: np.ndarray, rounds: int | Sequence[int], max_rounds: int
) -> np.ndarray:
    """``(n, d + 1)`` inputs of the process: embeddings of ``(n, p)`` codes, and the fidelity z.

    ``rounds`` is one round for all codes, or one for each.
    """
    fidelity = np.log(rounds) / np.log(max(max_rounds, 2))
    return np.column_stack([cube.embed(codes), np.broadcast_to(fidelity, len(codes))])


def standardized(values: np.ndarray) -> np.ndarray:
    """``(n,)`` values scaled to mean 0 and standard deviation 1, after low values are clipped.

    Values are clipped at median - 1.5 (best - median), which also makes minus infinity finite. It
    does no harm: how bad the bad trials are says nothing about the good ones.
    """
    median = np.median(values[np.isfinite(values)])
    clipped = np.maximum(values, median - 1.5 * (values.max() - median))
    return np.asarray((clipped - clipped.mean()) / (clipped.std() + 1e-9))


def _map_optimizer(prior_theta: np.ndarray) -> Callable[..., tuple[np.ndarray, float]]:
    """An optimizer for scikit-learn that finds the posterior mode (MAP) of the hyperparameters.

    The prior of their logarithms is normal with mean ``prior_theta``, ``(k,)``, and standard
    deviation 1. Maximum likelihood alone overfits if there are few trials and many parameters.
    """

    def optimize(
        loss: Callable[[np.ndarray], tuple[float, np.ndarray]],
        start: np.ndarray,
        bounds: np.ndarray,
    ) -> tuple[np.ndarray, float]:
        def penalized(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = loss(theta)
            deviation = theta - prior_theta
            return value + 0.5 * deviation @ deviation, gradient + deviation

        found = minimize(
            penalized, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 15}
        )
        return found.x, found.fun

    return optimize
