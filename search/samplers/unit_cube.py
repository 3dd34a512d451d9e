"""A search space as a unit cube, for samplers that compute with distances between points."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

PERTURBED_SHARE = 0.6
"""Probability that `UnitCube.perturb` changes an entry of a numeric parameter."""
PERTURBATION_STD = 0.15
"""Standard deviation of a change of a numeric entry, as a share of the parameter's range."""
REDRAWN_SHARE = 0.15
"""Probability that `UnitCube.perturb` draws an entry of a categorical parameter again."""


@dataclass(frozen=True)
class UnitCube:
    """Encodes points of a search space as arrays, and back.

    A point maps parameter names to values. Its code is a ``(p,)`` float array with one entry for
    each of the ``p`` parameters, in the order of ``space``. The entry of a number is its position
    in the range from low (0) to high (1), on a log scale if the distribution has one. The entry of
    a choice is its index. Distances are measured between embeddings (`embed`), not between codes.
    """

    space: Mapping[str, BaseDistribution]
    """Distribution of each parameter by name; each has at least two values."""

    @property
    def embedded_size(self) -> int:
        """``d``: number of coordinates of an embedding (`embed`)."""
        return sum(
            len(dist.choices) if isinstance(dist, CategoricalDistribution) else 1
            for dist in self.space.values()
        )

    def encode(self, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """``(n, p)`` codes of ``n`` points. Each point must have every parameter."""
        columns = [_encoded(d, [point[name] for point in points]) for name, d in self.space.items()]
        return np.column_stack(columns)

    def decode(self, code: np.ndarray) -> dict[str, Any]:
        """The point of a ``(p,)`` code, with values rounded to the steps of their parameters."""
        pairs = zip(self.space.items(), code.tolist(), strict=True)
        return {name: _decoded(dist, entry) for (name, dist), entry in pairs}

    def embed(self, codes: np.ndarray) -> np.ndarray:
        """``(n, d)`` embeddings of ``(n, p)`` codes.

        A number has one coordinate. A categorical parameter has one for each choice: a one-hot
        vector, scaled so that two choices are at distance 1, as the ends of a number's range are.
        """
        columns = []
        for dist, column in zip(self.space.values(), codes.T, strict=True):
            if isinstance(dist, CategoricalDistribution):
                columns += [np.sqrt(0.5) * (column == k) for k in range(len(dist.choices))]
            else:
                columns.append(column)
        return np.column_stack(columns)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``(count, p)`` codes, drawn uniformly from the whole space."""
        columns = [
            rng.integers(len(dist.choices), size=count)
            if isinstance(dist, CategoricalDistribution)
            else rng.random(count)
            for dist in self.space.values()
        ]
        return np.column_stack(columns).astype(float)

    def perturb(self, rng: np.random.Generator, codes: np.ndarray, count: int) -> np.ndarray:
        """``(count, p)`` codes near the given ``(n, p)`` codes.

        Each new code starts as a copy of a given code, drawn at random. The entries of the copy
        change independently. A copy that would not change is replaced by a uniform sample.
        """
        origins, uniform = codes[rng.integers(len(codes), size=count)], self.sample(rng, count)
        moved = origins.copy()
        for k, dist in enumerate(self.space.values()):
            if isinstance(dist, CategoricalDistribution):
                redrawn = rng.random(count) < REDRAWN_SHARE
                moved[:, k] = np.where(redrawn, uniform[:, k], moved[:, k])
            else:
                changes = rng.random(count) < PERTURBED_SHARE
                step = np.where(changes, rng.normal(0, PERTURBATION_STD, count), 0)
                moved[:, k] = np.clip(moved[:, k] + step, 0, 1)
        unchanged = (moved == origins).all(axis=1, keepdims=True)
        return np.where(unchanged, uniform, moved)


def _encoded(dist: BaseDistribution, values: Sequence[Any]) -> np.ndarray:
    """``(n,)`` code entries of ``n`` values of one parameter."""
    if isinstance(dist, CategoricalDistribution):
        return np.array([dist.choices.index(value) for value in values], dtype=float)
    low, high, scale = _range_of(dist)
    return np.asarray((scale(values) - scale(low)) / (scale(high) - scale(low)))


def _decoded(dist: BaseDistribution, entry: float) -> Any:
    """The value of one parameter from its code entry."""
    if isinstance(dist, CategoricalDistribution):
        return dist.choices[int(entry)]
    assert isinstance(dist, FloatDistribution | IntDistribution)
    low, high, scale = _range_of(dist)
    value = scale(low) + entry * (scale(high) - scale(low))
    value = float(np.exp(value) if dist.log else value)
    if dist.step is not None:
        value = low + dist.step * round((value - low) / dist.step)
    value = min(max(value, low), high)
    return round(value) if isinstance(dist, IntDistribution) else value


def _range_of(dist: BaseDistribution) -> tuple[float, float, Callable[[Any], np.ndarray]]:
    """Low, high, and the function that maps values to a uniform scale: logarithm or identity."""
    assert isinstance(dist, FloatDistribution | IntDistribution)
    return dist.low, dist.high, np.log if dist.log else np.asarray
