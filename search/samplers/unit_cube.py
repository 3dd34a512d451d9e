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
"""Chance that `UnitCube.perturb` moves a number."""
PERTURBATION_STD = 0.15
"""Standard deviation of that move, as a share of the parameter's range."""
REDRAWN_SHARE = 0.15
"""Chance that `UnitCube.perturb` draws a choice anew."""


@dataclass(frozen=True)
class UnitCube:
    """Encodes points of a search space as arrays, and back.

    A point is a value by parameter name. Its code is a ``(p,)`` float array with an entry for each
    of the ``p`` parameters, in the order of ``space``: for a number its position in the range from
    low (0) to high (1), on a logarithmic scale if the distribution has one; for a choice its index.
    Distances are measured between embeddings, not between codes (`embed`).
    """

    space: Mapping[str, BaseDistribution]
    """Parameters by name, each of at least two values."""

    @property
    def embedded_size(self) -> int:
        """``d``: coordinates of an embedding, one for a number and one for each choice."""
        return sum(
            len(dist.choices) if isinstance(dist, CategoricalDistribution) else 1
            for dist in self.space.values()
        )

    def encode(self, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """``(n, p)`` codes of ``n`` points. Each point must have every parameter."""
        columns = [_encoded(d, [point[name] for point in points]) for name, d in self.space.items()]
        return np.column_stack(columns)

    def decode(self, code: np.ndarray) -> dict[str, Any]:
        """The point of a ``(p,)`` code: rounded to the steps of its parameters."""
        pairs = zip(self.space.items(), code.tolist(), strict=True)
        return {name: _decoded(dist, entry) for (name, dist), entry in pairs}

    def embed(self, codes: np.ndarray) -> np.ndarray:
        """``(n, d)`` embeddings of ``(n, p)`` codes: one coordinate a number, one for each choice.

        Choices are one-hot, scaled so that any two are at distance 1, like low and high.
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
        """``(count, p)`` codes near those of ``(n, p)``.

        Each starts at a code drawn from the ``n``. Its entries change independently of one another;
        where none does, a uniform sample takes its place.
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
    """Low, high, and the scale on which the parameter is uniform: a logarithm, or none."""
    assert isinstance(dist, FloatDistribution | IntDistribution)
    return dist.low, dist.high, np.log if dist.log else np.asarray
