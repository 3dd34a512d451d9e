"""`CurveKernel`: how much the scores of two trials after some of their rounds have in common.

With a Matérn 5/2 kernel m, the covariance of the scores of points x, x' at fidelities z, z' is

    a m(x, x') m(z, z')        points that are alike have curves that are alike
    + b m(z, z') if x and x' are of one trial: what a trial has beside its neighbours, such as luck
    + c m(z, z')               the course that all curves have in common

plus white noise of every score. So rounds of one trial share an asymptote, as in freeze-thaw
Bayesian optimization (Swersky et al. 2014).
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

NO_TRIAL = -1
"""Number in place of a trial's for a point that has none yet."""

_SCALES = 6
"""Number of hyperparameters beside one length for each coordinate of a point."""
_POINTS, _POINTS_LENGTH, _TRIAL, _TRIAL_LENGTH, _COMMON, _NOISE = range(_SCALES)
_PRIOR_MEAN = np.log([1.0, 1.0, 0.1, 1.0, 1.0, 0.01])
_PRIOR_STD = np.array([0.4, 0.2, 0.4, 0.2, 0.4, 0.4])
_LENGTH_STD = 0.4
"""Standard deviation of the logarithm of a coordinate's length.

The priors are narrow: rounds of one trial are much alike, so the likelihood is surer of the
hyperparameters than its number of trials allows.
"""
_SQRT5 = math.sqrt(5)
_JITTER = 1e-6


@dataclass(frozen=True)
class Rounds:
    """``n`` rounds of trials, as inputs of the process."""

    points: np.ndarray
    """``(n, d)`` embedded points."""
    fidelity: np.ndarray
    """``(n,)`` in [0, 1]."""
    trials: np.ndarray
    """``(n,)`` numbers of trials, or `NO_TRIAL`."""

    def __len__(self) -> int:
        return len(self.fidelity)

    def followed_by(self, more: Self) -> Self:
        """These rounds, followed by more."""
        return replace(
            self,
            points=np.vstack([self.points, more.points]),
            fidelity=np.concatenate([self.fidelity, more.fidelity]),
            trials=np.concatenate([self.trials, more.trials]),
        )


@dataclass(frozen=True)
class CurveKernel:
    """The covariance above, for the logarithms ``theta``, ``(6 + d,)``, of its hyperparameters."""

    theta: np.ndarray

    @classmethod
    def prior(cls, coordinates: int) -> Self:
        """Means of the normal priors of ``theta`` for points of so many coordinates."""
        return cls(np.concatenate([_PRIOR_MEAN, np.zeros(coordinates)]))

    @property
    def prior_std(self) -> np.ndarray:
        """Standard deviations of the priors of ``theta``."""
        return np.concatenate([_PRIOR_STD, np.full(len(self.theta) - _SCALES, _LENGTH_STD)])

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """Lowest and highest value of each entry of ``theta``."""
        wide, noise, lengths = (1e-3, 30), (1e-4, 1), (0.05, 20)
        both = [wide] * (_SCALES - 1) + [noise] + [lengths] * (len(self.theta) - _SCALES)
        return [(math.log(low), math.log(high)) for low, high in both]

    @property
    def variance(self) -> float:
        """Prior variance of a score, without noise."""
        return float(np.exp(self.theta[[_POINTS, _TRIAL, _COMMON]]).sum())

    @property
    def noise(self) -> float:
        """Variance of the noise of a score."""
        return math.exp(self.theta[_NOISE]) + _JITTER

    def between(self, a: Rounds, b: Rounds) -> np.ndarray:
        """Covariances ``(n, m)`` of ``n`` and ``m`` rounds, without noise."""
        of_points, of_trial, common, *_ = self._terms(a, b)
        return np.asarray(of_points + of_trial + common)

    def derivatives(self, rounds: Rounds, weights: np.ndarray) -> np.ndarray:
        """Sums ``(6 + d,)`` of symmetric ``weights`` times the derivatives by each of ``theta``.

        The derivatives are those of the covariances ``(n, n)`` of the rounds, with noise.
        """
        of_points, of_trial, common, distance, lag = self._terms(rounds, rounds)
        of_points, of_trial = weights * of_points, weights * of_trial
        by_scale = np.zeros(_SCALES)
        by_scale[_POINTS], by_scale[_TRIAL] = of_points.sum(), of_trial.sum()
        by_scale[_COMMON] = (weights * common).sum()
        by_scale[_NOISE] = math.exp(self.theta[_NOISE]) * np.trace(weights)
        scaled_lag = lag / math.exp(self.theta[_POINTS_LENGTH])
        by_scale[_POINTS_LENGTH] = (of_points * _slope(scaled_lag) * scaled_lag**2).sum()
        scaled_lag = lag / math.exp(self.theta[_TRIAL_LENGTH])
        by_scale[_TRIAL_LENGTH] = (of_trial * _slope(scaled_lag) * scaled_lag**2).sum()
        steep, scaled = of_points * _slope(distance), rounds.points / self._lengths
        squares = (steep.sum(axis=1)[:, None] * scaled**2).sum(axis=0)
        by_length = 2 * (squares - (scaled * (steep @ scaled)).sum(axis=0))
        return np.concatenate([by_scale, by_length])

    @property
    def _lengths(self) -> np.ndarray:
        """Length scale of each coordinate of a point, ``(d,)``."""
        return np.asarray(np.exp(self.theta[_SCALES:]))

    def _terms(self, a: Rounds, b: Rounds) -> tuple[np.ndarray, ...]:
        """The three terms ``(n, m)``, and the scaled distances of points and of fidelities."""
        points, points_length, trial, trial_length, common, _ = np.exp(self.theta[:_SCALES])
        lag = np.abs(a.fidelity[:, None] - b.fidelity)
        distance = _distances(a.points / self._lengths, b.points / self._lengths)
        is_same = (a.trials[:, None] == b.trials) & (a.trials != NO_TRIAL)[:, None]
        return (
            points * _matern(distance) * _matern(lag / points_length),
            np.where(is_same, trial * _matern(lag / trial_length), 0),
            common * _matern(lag),
            distance,
            lag,
        )


def _matern(distance: np.ndarray) -> np.ndarray:
    """Matérn 5/2 correlations at distances."""
    return np.asarray((1 + _SQRT5 * distance + 5 / 3 * distance**2) * np.exp(-_SQRT5 * distance))


def _slope(distance: np.ndarray) -> np.ndarray:
    """Minus the derivative of the logarithm of `_matern` by the distance, over the distance."""
    rise = 1 + _SQRT5 * distance
    return np.asarray(5 / 3 * rise / (rise + 5 / 3 * distance**2))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances ``(n, m)`` of rows."""
    squares = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
