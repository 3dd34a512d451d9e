"""A search space as a unit cube, for samplers that reckon with distances."""

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


@dataclass(frozen=True)
class Cube:
    """A search space by places: shares of the way from low to high, and numbers of choices."""

    space: Mapping[str, BaseDistribution]

    def places(self, trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """``(n, p)`` of points by name."""
        columns = [_places(d, [trial[name] for trial in trials]) for name, d in self.space.items()]
        return np.column_stack(columns)

    def values(self, place: np.ndarray) -> dict[str, Any]:
        """A point by name, of its ``(p,)`` place."""
        pairs = zip(self.space.items(), place.tolist(), strict=True)
        return {name: _value(dist, where) for (name, dist), where in pairs}

    def features(self, places: np.ndarray) -> np.ndarray:
        """``(n, d)`` of ``(n, p)``: a coordinate for each choice, as any two are as far apart."""
        columns = []
        for dist, column in zip(self.space.values(), places.T, strict=True):
            if isinstance(dist, CategoricalDistribution):
                columns += [np.sqrt(0.5) * (column == k) for k in range(len(dist.choices))]
            else:
                columns.append(column)
        return np.column_stack(columns)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``(count, p)`` places anywhere."""
        columns = [
            rng.integers(len(dist.choices), size=count)
            if isinstance(dist, CategoricalDistribution)
            else rng.random(count)
            for dist in self.space.values()
        ]
        return np.column_stack(columns).astype(float)

    def near(self, rng: np.random.Generator, places: np.ndarray, count: int) -> np.ndarray:
        """``(count, p)`` places that differ from one of some others in about half of ``p``."""
        origins, drawn = places[rng.integers(len(places), size=count)], self.draw(rng, count)
        moved = origins.copy()
        for k, dist in enumerate(self.space.values()):
            if isinstance(dist, CategoricalDistribution):
                moved[:, k] = np.where(rng.random(count) < 0.15, drawn[:, k], moved[:, k])
            else:
                step = np.where(rng.random(count) < 0.6, rng.normal(0, 0.15, count), 0)
                moved[:, k] = np.clip(moved[:, k] + step, 0, 1)
        stayed = (moved == origins).all(axis=1, keepdims=True)
        return np.where(stayed, drawn, moved)


def _places(dist: BaseDistribution, values: Sequence[Any]) -> np.ndarray:
    if isinstance(dist, CategoricalDistribution):
        return np.array([dist.choices.index(value) for value in values], dtype=float)
    low, high, scaled = _bounds(dist)
    return np.asarray((scaled(values) - scaled(low)) / (scaled(high) - scaled(low)))


def _value(dist: BaseDistribution, place: float) -> Any:
    if isinstance(dist, CategoricalDistribution):
        return dist.choices[int(place)]
    assert isinstance(dist, FloatDistribution | IntDistribution)
    low, high, scaled = _bounds(dist)
    value = scaled(low) + place * (scaled(high) - scaled(low))
    value = float(np.exp(value) if dist.log else value)
    if dist.step is not None:
        value = low + dist.step * round((value - low) / dist.step)
    value = min(max(value, low), high)
    return round(value) if isinstance(dist, IntDistribution) else value


def _bounds(dist: BaseDistribution) -> tuple[float, float, Callable[[Any], np.ndarray]]:
    assert isinstance(dist, FloatDistribution | IntDistribution)
    return dist.low, dist.high, np.log if dist.log else np.asarray
