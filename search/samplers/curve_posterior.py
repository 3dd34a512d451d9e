"""`CurvePosterior`: a Gaussian process over learning curves whose rounds share an asymptote.

The model is that of multi-fidelity Bayesian optimization (Kandasamy et al. 2017, "Multi-fidelity
Bayesian Optimisation with Continuous Approximations"), with these symbols:

====================  ===========================================================================
x                     a point of the search space, embedded by `UnitCube`
z in [0, 1]           the fidelity: log(round) / log(max_rounds)
g(z, x)               the standardized metric at that fidelity; a Gaussian process (`CurveKernel`)
====================  ===========================================================================

It is fitted with numpy and scipy: scikit-learn's takes five times as long with such a kernel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize
from scipy.stats import norm

from search.samplers.curve_kernel import CurveKernel, Rounds
from search.samplers.posterior import standardized

_MAX_ITERATIONS = 15
"""Largest number of iterations of a fit of the hyperparameters."""


@dataclass(frozen=True)
class CurvePosterior:
    """The distribution of g, given scores of some rounds.

    Scores are standardized, so they can be compared only with other scores of the same posterior.
    """

    kernel: CurveKernel
    rounds: Rounds
    """The ``n`` rounds that the process is conditioned on."""
    scores: np.ndarray
    """``(n,)`` standardized scores of these rounds."""
    _factor: np.ndarray
    """Cholesky factor ``(n, n)``, lower, of the covariances with noise."""

    @classmethod
    def fit(cls, rounds: Rounds, values: np.ndarray, kernel: CurveKernel, *, tune: bool) -> Self:
        """Condition on the ``(n,)`` values of the metric after some rounds.

        To ``tune`` is to fit the hyperparameters as well, from those of ``kernel``.
        """
        scores = standardized(values)
        if tune:
            kernel = _tuned(kernel, rounds, scores)
        return cls(kernel, rounds, scores, _factor_of(kernel, rounds))

    def at_rounds(self) -> np.ndarray:
        """Mean of g at the rounds that the process is conditioned on, ``(n,)``."""
        return np.asarray(self.kernel.between(self.rounds, self.rounds) @ self._weights())

    def predict(self, rounds: Rounds) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of g at ``m`` rounds, ``(m,)`` each, without noise."""
        covariances = self.kernel.between(rounds, self.rounds)
        explained = solve_triangular(self._factor, covariances.T, lower=True, check_finite=False)
        variance = self.kernel.variance - (explained**2).sum(axis=0)
        return covariances @ self._weights(), np.sqrt(np.maximum(variance, 1e-10))

    def believing(self, rounds: Rounds) -> Self:
        """Condition on the posterior mean at ``m`` rounds that are still to be run.

        So points near them are not proposed again: the kriging believer of Ginsbourger et al. 2010.
        """
        if len(rounds) == 0:
            return self
        mean, _ = self.predict(rounds)
        between = self.kernel.between(rounds, self.rounds)
        left = solve_triangular(self._factor, between.T, lower=True, check_finite=False)
        own = self.kernel.between(rounds, rounds) + self.kernel.noise * np.eye(len(rounds))
        n, m = len(self.rounds), len(rounds)
        factor = np.zeros((n + m, n + m))
        factor[:n, :n], factor[n:, :n] = self._factor, left.T
        factor[n:, n:] = cholesky(own - left.T @ left, lower=True)
        scores = np.concatenate([self.scores, mean])
        return type(self)(self.kernel, self.rounds.followed_by(rounds), scores, factor)

    def _weights(self) -> np.ndarray:
        """Scores times the inverse of the covariances, ``(n,)``."""
        return np.asarray(cho_solve((self._factor, True), self.scores, check_finite=False))


def fidelity(rounds: Sequence[float] | np.ndarray, max_rounds: int) -> np.ndarray:
    """``z`` of some rounds, counted from 1."""
    return np.asarray(np.log(rounds) / math.log(max(max_rounds, 2)))


def expected_improvement(mean: np.ndarray, std: np.ndarray, best: float) -> np.ndarray:
    """Expected improvement over a score, s (u Phi(u) + phi(u)) with u = (m - best) / s.

    See Jones et al. 1998. All arrays have shape ``(n,)``.
    """
    u = (mean - best) / std
    return np.asarray(std * (u * norm.cdf(u) + norm.pdf(u)))


def _factor_of(kernel: CurveKernel, rounds: Rounds) -> np.ndarray:
    """Lower Cholesky factor of the covariances of rounds, with noise."""
    covariances = kernel.between(rounds, rounds)
    covariances[np.diag_indices(len(rounds))] += kernel.noise
    return np.asarray(cholesky(covariances, lower=True, check_finite=False))


def _tuned(start: CurveKernel, rounds: Rounds, scores: np.ndarray) -> CurveKernel:
    """The kernel at the posterior mode (MAP) of its hyperparameters.

    Maximum likelihood alone overfits if there are few trials and many parameters.
    """
    prior, std = CurveKernel.prior(rounds.points.shape[1]).theta, start.prior_std

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        kernel, deviation = CurveKernel(theta), (theta - prior) / std
        factor = _factor_of(kernel, rounds)
        weights = cho_solve((factor, True), scores, check_finite=False)
        lower = np.tril(dpotri(factor, lower=1)[0])
        inverse = lower + np.tril(lower, -1).T
        value = 0.5 * scores @ weights + np.log(np.diag(factor)).sum()
        slopes = kernel.derivatives(rounds, np.outer(weights, weights) - inverse)
        return value + 0.5 * deviation @ deviation, deviation / std - 0.5 * slopes

    found = minimize(
        loss,
        start.theta,
        jac=True,
        method="L-BFGS-B",
        bounds=start.bounds,
        options={"maxiter": _MAX_ITERATIONS},
    )
    return CurveKernel(found.x)
