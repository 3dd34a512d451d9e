"""`Prior`: what fine-tunes on known image sets say about backbones on a new one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import norm

OFFSET_STD = 30.0
"""Standard deviation, in points, of the accuracy that all backbones share on a new set."""
DRAWS = 2000
"""Accuracies drawn from the prior where no result is known yet."""


@dataclass(frozen=True)
class Constants:
    """Constants of a `Prior`."""

    depth: float
    """Points below a set's best that an accuracy counts at least: one that fails has failed."""
    rank: int
    """Number of low-rank factors of model x set."""
    kinship: float
    """Variance that the models of one architecture share, as a multiple of the residual one."""


@dataclass(frozen=True)
class Prior:
    """A Gaussian over the accuracies of ``n`` models on a new set, in points."""

    mean: np.ndarray
    """``(n,)`` mean accuracy, relative to the mean of each set."""
    covariance: np.ndarray
    """``(n, n)`` covariance by low-rank factors and architecture."""
    noise: float
    """Variance that neither explains."""
    depth: float

    @classmethod
    def learn(cls, accuracy: np.ndarray, architectures: np.ndarray, constants: Constants) -> Self:
        """Learn from ``(n, s)`` accuracies on ``s`` sets, NaN where none is known.

        The factors are the leading singular vectors of what the models' means leave; a missing
        accuracy is filled with its model's mean.
        """
        capped = np.maximum(accuracy - np.nanpercentile(accuracy, 95, axis=0), -constants.depth)
        capped = capped - np.nanmean(capped, axis=0)
        known = ~np.isnan(capped)
        mean = np.where(known, capped, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        rest = np.where(known, capped - mean[:, None], 0)
        left, values, right = np.linalg.svd(rest, full_matrices=False)
        scores = left[:, : constants.rank] * values[: constants.rank]
        noise = float(((rest - scores @ right[: constants.rank])[known] ** 2).mean())
        kin = architectures[:, None] == architectures[None, :]
        factors = scores / np.sqrt(accuracy.shape[1])
        covariance = factors @ factors.T + constants.kinship * noise * kin
        return cls(mean, covariance, noise, constants.depth)

    def of(self, models: np.ndarray) -> "Prior":
        """The prior of some of the models."""
        covariance = self.covariance[np.ix_(models, models)]
        return Prior(self.mean[models], covariance, self.noise, self.depth)

    def given(self, tried: Sequence[int], accuracy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each model, given accuracies of those ``tried``.

        Both are on the new set's own scale, in points.
        """
        covariance = self.covariance + OFFSET_STD**2
        seen = np.maximum(accuracy, accuracy.max() - self.depth) - self.mean[tried]
        among = covariance[np.ix_(tried, tried)] + self.noise * np.eye(len(tried))
        weights = np.linalg.solve(among, covariance[tried]).T
        explained = np.einsum("ij,ji->i", weights, covariance[tried])
        variance = np.maximum(np.diag(covariance) - explained, 0) + self.noise
        return self.mean + weights @ seen, np.sqrt(variance)

    def next_after(self, tried: Sequence[int], accuracy: np.ndarray) -> int:
        """Model to try next, by expected improvement on the best of those ``tried``."""
        if len(tried) == 0:
            return int(np.argmax(self.mean))
        mean, std = self.given(tried, accuracy)
        gap = (mean - accuracy.max()) / std
        improvement = std * (gap * norm.cdf(gap) + norm.pdf(gap))
        improvement[list(tried)] = -np.inf
        return int(np.argmax(improvement))

    def in_turn(self, accuracy: np.ndarray, count: int) -> list[int]:
        """``count`` models, each chosen given the ``accuracy`` of those before it."""
        tried: list[int] = []
        for _ in range(count):
            tried.append(self.next_after(tried, accuracy[tried]))
        return tried

    def most_promising(self, count: int) -> list[int]:
        """Models whose best accuracy is expected to be highest, one after the other.

        None of their results is known.
        """
        covariance = self.covariance + self.noise * np.eye(len(self.mean))
        rng = np.random.default_rng(0)
        drawn = rng.multivariate_normal(self.mean, covariance, DRAWS, method="cholesky")
        best, chosen = np.full(DRAWS, -np.inf), list[int]()
        for _ in range(count):
            expected = np.maximum(drawn, best[:, None]).mean(axis=0)
            expected[chosen] = -np.inf
            chosen.append(int(np.argmax(expected)))
            best = np.maximum(best, drawn[:, chosen[-1]])
        return chosen
