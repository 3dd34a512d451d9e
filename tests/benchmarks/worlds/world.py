"""`World`: a training task whose learning curve is known at every point of a search space."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from search.samplers.unit_cube import UnitCube


@dataclass(frozen=True)
class ScoreCurve:
    """Scores of a trial after each of ``n`` rounds, higher is better, and the rounds' durations."""

    validation: np.ndarray
    """``(n,)``: what a search sees."""
    test: np.ndarray
    """``(n,)``: what a search is scored by."""
    seconds: np.ndarray
    """``(n,)``: duration of each round."""


class World(ABC):
    """A training task whose learning curve is known at every point of a search space."""

    name: str
    space: Mapping[str, BaseDistribution]
    """Distribution of each parameter, by name."""
    rounds: int
    """Rounds of a trial that runs to its end."""
    best: float
    """Highest test score of any point after any round."""
    untrained: float
    """Test score before any training: that of a search without a result."""
    is_seen: bool
    """Whether constants of a strategy were chosen with this world in view."""

    @abstractmethod
    def run(self, point: Mapping[str, Any], rng: np.random.Generator) -> ScoreCurve:
        """Learning curve of a trial at a point; ``rng`` draws its noise, if the world has any."""


def highest(
    space: Mapping[str, BaseDistribution],
    scores: Callable[[list[dict[str, Any]]], np.ndarray],
    *,
    start: int = 3000,
    near: int = 500,
) -> float:
    """Highest score that a random local search finds; ``scores`` gives ``(n,)`` for n points."""
    cube, rng = UnitCube(space), np.random.default_rng(0)
    codes, best = cube.sample(rng, start), -np.inf
    for _ in range(10):
        reached = scores([cube.decode(code) for code in codes])
        best = max(best, float(reached.max()))
        top = codes[reached.argsort()[::-1][:20]]
        codes = np.vstack([top, cube.perturb(rng, top, near)])
    return best
