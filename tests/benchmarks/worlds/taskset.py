"""Tasks of TaskSet (Metz et al. 2020): recorded curves of a thousand points each.

A file has a row for each point: its parameters (columns ``hp.*``), and the losses before training
and after each round. A proposal is mapped to the nearest recorded point, so the world is constant
around each of them: that hurts samplers which exploit.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution

from search.samplers.unit_cube import UnitCube
from tests.benchmarks.worlds.world import ScoreCurve, World

PREFIX = "hp."
"""Start of the names of columns with parameters."""
SEEN = ("patch32_GRU128_bs128", "patch32_LSTM128_E128_bs128", "patch128_LSTM128_bs64")
"""Names of the tasks on which constants were chosen."""
_DECAY_OF_MEAN = ("beta1", "beta2")
"""Parameters that were drawn as 1 minus a number that is uniform on a log scale."""


class TaskSet(World):
    """A task of TaskSet. A score is minus the logarithm of the loss, at least that at the start."""

    def __init__(self, name: str, table: pd.DataFrame) -> None:
        self.name, self.is_seen = name, name in SEEN
        columns = [column for column in table if str(column).startswith(PREFIX)]
        points = {}
        for column in columns:
            parameter, values = str(column).removeprefix(PREFIX), table[column].to_numpy(float)
            if parameter in _DECAY_OF_MEAN:
                parameter, values = f"one_minus_{parameter}", np.maximum(1 - values, 1e-8)
            points[parameter] = values
        self.space = {
            parameter: FloatDistribution(values.min(), values.max(), log=True)
            for parameter, values in points.items()
        }
        self._cube = UnitCube(self.space)
        self._recorded = self._cube.encode(pd.DataFrame(points).to_dict("records"))  # type: ignore[arg-type]
        self._validation = _scores(table["valid_loss"])
        self._test = _scores(table["test_loss"])
        self.rounds = self._validation.shape[1]
        self.best = float(self._test.max())
        self.untrained = float(self._test.min())

    @classmethod
    def read(cls, file: Path) -> Self:
        """The task of a Parquet file."""
        return cls(file.stem.removeprefix("taskset_"), pd.read_parquet(file))

    def run(self, point: Mapping[str, Any], rng: np.random.Generator) -> ScoreCurve:
        """Curve of the nearest recorded point; every round lasts a second."""
        distance = np.square(self._recorded - self._cube.encode([point])).sum(axis=1)
        row = distance.argmin()
        return ScoreCurve(self._validation[row], self._test[row], np.ones(self.rounds))


def _scores(losses: pd.Series) -> np.ndarray:
    """``(points, rounds)`` scores of curves that begin before training.

    A loss that is infinite, not a number or higher than the median at the start counts as that.
    """
    curves = np.array(losses.tolist(), dtype=float)
    start = np.nanmedian(curves[:, 0])
    curves = np.where(np.isfinite(curves), curves, start)
    return np.asarray(-np.log(np.minimum(curves, start))[:, 1:])
