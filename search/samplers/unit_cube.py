"""A search space as a unit cube, for samplers that compute with distances between points."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from spaces import SEPARATOR

PERTURBED_SHARE = 0.6
"""Probability that `UnitCube.perturb` changes an entry of a numeric parameter."""
PERTURBATION_STD = 0.15
"""Standard deviation of a change of a numeric entry, as a share of the parameter's range."""
REDRAWN_SHARE = 0.15
"""Probability that `UnitCube.perturb` draws an entry of a categorical parameter again."""


NamesAt = Callable[[Mapping[str, Any]], Collection[str]]
"""Names of the parameters that a point uses, given values of all parameters by name."""


@dataclass(frozen=True)
class UnitCube:
    """Encodes points of a search space as arrays, and back.

    A point maps parameter names to values. Its code is a ``(p,)`` float array with one entry for
    each of the ``p`` parameters, in the order of ``space``. The entry of a number is its position
    in the range from low (0) to high (1), on a log scale if the distribution has one. The entry of
    a choice is its index. The entry of a parameter that the point does not use is NaN. Distances
    are measured between embeddings (`embed`), not between codes.
    """

    space: Mapping[str, BaseDistribution]
    """Distribution of each parameter by name; each has at least two values."""
    names_at: NamesAt | None = None
    """Parameters that a point uses; None if every point uses all."""

    @cached_property
    def _coordinates(self) -> dict[str, list[int]]:
        """Columns of a code that share a coordinate of the embedding, by name of the field.

        These are the numeric cases of a conditional field, of which a point uses at most one.
        """
        columns: dict[str, list[int]] = {}
        for k, (name, dist) in enumerate(self.space.items()):
            if not isinstance(dist, CategoricalDistribution):
                columns.setdefault(name.partition(SEPARATOR)[0], []).append(k)
        return columns

    @property
    def embedded_size(self) -> int:
        """``d``: number of coordinates of an embedding (`embed`)."""
        choices = [
            len(dist.choices)
            for dist in self.space.values()
            if isinstance(dist, CategoricalDistribution)
        ]
        return len(self._coordinates) + sum(choices)

    def encode(self, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """``(n, p)`` codes of ``n`` points. Parameters that a point lacks count as unused."""
        columns = [
            _encoded(dist, [point.get(name) for point in points])
            for name, dist in self.space.items()
        ]
        return np.column_stack(columns)

    def decode(self, code: np.ndarray) -> dict[str, Any]:
        """The point of a ``(p,)`` code, with values rounded to the steps of their parameters."""
        pairs = zip(self.space.items(), code.tolist(), strict=True)
        return {name: _decoded(dist, e) for (name, dist), e in pairs if not math.isnan(e)}

    def embed(self, codes: np.ndarray) -> np.ndarray:
        """``(n, d)`` embeddings of ``(n, p)`` codes.

        A number has one coordinate, which the cases of a field share, and which is 0.5 where the
        field is not used. A categorical parameter has one for each choice: a one-hot vector, scaled
        so that two choices are at distance 1, as the ends of a number's range are; where it is not
        used, all are 0.
        """
        columns = []
        for shared in self._coordinates.values():
            position = _position(codes[:, shared])
            columns.append(np.where(np.isnan(position), 0.5, position))
        for dist, column in zip(self.space.values(), codes.T, strict=True):
            if isinstance(dist, CategoricalDistribution):
                columns += [np.sqrt(0.5) * (column == k) for k in range(len(dist.choices))]
        return np.column_stack(columns)

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``(count, p)`` codes, drawn uniformly from the whole space."""
        return self._without_unused(self._uniform(rng, count))

    def _uniform(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``(count, p)`` uniform entries of all parameters."""
        columns = [
            rng.integers(len(dist.choices), size=count)
            if isinstance(dist, CategoricalDistribution)
            else rng.random(count)
            for dist in self.space.values()
        ]
        return np.column_stack(columns).astype(float)

    def _without_unused(self, codes: np.ndarray) -> np.ndarray:
        """Codes with NaN for the parameters that their points do not use."""
        if self.names_at is None:
            return codes
        used = [self.names_at(self.decode(code)) for code in codes]
        mask = [[name in names for name in self.space] for names in used]
        return np.where(mask, codes, np.nan)

    def _with_all(self, codes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Codes with an entry for every parameter.

        A missing one is that of another case of the field, else that of ``uniform``.
        """
        filled = codes.copy()
        for shared in self._coordinates.values():
            cases = codes[:, shared]
            filled[:, shared] = np.where(np.isnan(cases), _position(cases)[:, None], cases)
        return np.where(np.isnan(filled), uniform, filled)

    def perturb(self, rng: np.random.Generator, codes: np.ndarray, count: int) -> np.ndarray:
        """``(count, p)`` codes near the given ``(n, p)`` codes.

        Each new code starts as a copy of a given code, drawn at random. The entries of the copy
        change independently. A copy that would not change is replaced by a uniform sample.
        """
        origins, uniform = codes[rng.integers(len(codes), size=count)], self._uniform(rng, count)
        moved = self._with_all(origins, uniform)
        for k, dist in enumerate(self.space.values()):
            if isinstance(dist, CategoricalDistribution):
                redrawn = rng.random(count) < REDRAWN_SHARE
                moved[:, k] = np.where(redrawn, uniform[:, k], moved[:, k])
            else:
                changes = rng.random(count) < PERTURBED_SHARE
                step = np.where(changes, rng.normal(0, PERTURBATION_STD, count), 0)
                moved[:, k] = np.clip(moved[:, k] + step, 0, 1)
        moved, uniform = self._without_unused(moved), self._without_unused(uniform)
        same = (moved == origins) | (np.isnan(moved) & np.isnan(origins))
        return np.where(same.all(axis=1, keepdims=True), uniform, moved)


def _position(cases: np.ndarray) -> np.ndarray:
    """``(n,)`` entries of the case that each point uses, of ``(n, c)`` cases; NaN if none."""
    used = ~np.isnan(cases)
    return np.where(used.any(axis=1), np.where(used, cases, 0).sum(axis=1), np.nan)


def _encoded(dist: BaseDistribution, values: Sequence[Any]) -> np.ndarray:
    """``(n,)`` code entries of ``n`` values of one parameter; None becomes NaN."""
    entries = np.full(len(values), np.nan)
    used = [row for row, value in enumerate(values) if value is not None]
    if isinstance(dist, CategoricalDistribution):
        entries[used] = [dist.choices.index(values[row]) for row in used]
        return entries
    low, high, scale = _range_of(dist)
    positions = scale([values[row] for row in used]) - scale(low)
    entries[used] = positions / (scale(high) - scale(low))
    return entries


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
