"""`Prior`: what fine-tunes on known image sets say about backbones on a new one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy.special import ndtr

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


def capped(accuracy: np.ndarray, depth: float) -> np.ndarray:
    """``(n, s)`` accuracies, none more than ``depth`` points below its set's 95th percentile."""
    low: np.ndarray = np.nanpercentile(accuracy, 95, axis=0) - depth
    return np.maximum(accuracy, low)


@dataclass(frozen=True)
class Effects:
    """Mean of each of ``n`` models over ``s`` sets, and the singular vectors of what is left."""

    mean: np.ndarray
    """``(n,)`` mean accuracy relative to the means of the sets."""
    scores: np.ndarray
    """``(n, min(n, s))`` left singular vectors, each times its value."""
    known: int
    """Number of accuracies."""
    sets: int

    @classmethod
    def of(cls, accuracy: np.ndarray) -> Self:
        """Effects in ``(n, s)`` accuracies, NaN where none is known: the model's mean stands in."""
        centred = accuracy - np.nanmean(accuracy, axis=0)
        known = ~np.isnan(centred)
        mean = np.where(known, centred, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        rest = np.where(known, centred - mean[:, None], 0)
        left, values, _ = np.linalg.svd(rest, full_matrices=False)
        return cls(mean, left * values, int(known.sum()), accuracy.shape[1])

    def prior(self, architectures: np.ndarray, constants: Constants) -> "Prior":
        """The prior for a new set. The ``(n,)`` architectures say which models are kin."""
        residual = float((self.scores[:, constants.rank :] ** 2).sum() / self.known)
        factors = self.scores[:, : constants.rank] / np.sqrt(self.sets)
        shared = constants.kinship * residual
        return Prior(self.mean, factors, architectures, shared, residual, constants.depth)


@dataclass(frozen=True)
class Prior:
    """A Gaussian over the accuracies of ``n`` models on a new set, in points."""

    mean: np.ndarray
    """``(n,)`` mean accuracies, up to a level that all share."""
    factors: np.ndarray
    """``(n, r)`` low-rank factors of the covariance."""
    architectures: np.ndarray
    """``(n,)`` architecture of each model."""
    shared: float
    """Variance that the models of one architecture share."""
    noise: float
    """Variance that is a model's own."""
    depth: float
    """Points below the best that an accuracy counts at least."""

    def of(self, models: np.ndarray) -> "Prior":
        """The prior of some of the models."""
        return replace(
            self,
            mean=self.mean[models],
            factors=self.factors[models],
            architectures=self.architectures[models],
        )

    @cached_property
    def covariance(self) -> np.ndarray:
        """``(n, n)`` covariance, without noise and without the level that all share."""
        kin = self.architectures[:, None] == self.architectures[None, :]
        return self.factors @ self.factors.T + self.shared * kin

    def next_after(self, tried: Sequence[int], accuracy: np.ndarray) -> int:
        """Model to try next: the highest expected improvement on the best of those ``tried``."""
        if len(tried) == 0:
            return int(np.argmax(self.mean))
        covariance = self.covariance[tried] + OFFSET_STD**2
        among = covariance[:, tried] + self.noise * np.eye(len(tried))
        weights = np.linalg.solve(among, covariance)
        best = accuracy.max()
        seen = np.maximum(accuracy, best - self.depth) - self.mean[tried]
        mean = self.mean + seen @ weights
        before = self.covariance.diagonal() + OFFSET_STD**2
        std = np.sqrt(np.maximum(before - (weights * covariance).sum(axis=0), 0) + self.noise)
        gap = (mean - best) / std
        density = np.exp(-(gap**2) / 2) / np.sqrt(2 * np.pi)
        improvement = std * (gap * ndtr(gap) + density)
        improvement[tried] = -np.inf
        return int(np.argmax(improvement))

    def in_turn(self, accuracy: np.ndarray, count: int) -> list[int]:
        """``count`` models, each chosen given the ``accuracy`` of those before it."""
        tried: list[int] = []
        for _ in range(count):
            tried.append(self.next_after(tried, accuracy[tried]))
        return tried

    def most_promising(self, count: int) -> list[int]:
        """``count`` models, one after the other, with the highest expected best accuracy.

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
