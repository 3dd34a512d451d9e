"""Tasks of LCBench (Zimmer et al. 2021), by the surrogate model of YAHPO Gym.

A folder has the model (model.onnx), the number of each task (encoding.json) and the ranges of the
parameters (config_space.json). The surrogate is smooth and has no noise; none is added.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from tests.benchmarks.worlds.world import ScoreCurve, World, highest

INPUTS = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
"""Parameters in the order of the model's inputs, which follow the epoch."""
SECONDS, VALIDATION, TEST = 0, 3, 5
"""Columns of the model's outputs: seconds so far, balanced accuracy in validation and test."""
EPOCHS = 52


class LCBench(World):
    """A task of LCBench. A score is a balanced accuracy."""

    rounds = EPOCHS
    untrained = 0.0

    def __init__(self, folder: Path, task: str, code: int) -> None:
        self.name, self._folder, self._code = f"lcbench {task}", folder, code
        self.is_seen = code % 2 == 0  # constants were chosen on the even-numbered tasks
        ranges = _ranges(folder)
        self.space = {name: _distribution(ranges[name]) for name in INPUTS}

    @cached_property
    def best(self) -> float:  # type: ignore[override]
        """Highest test score that a random local search finds."""
        return highest(self.space, self._best_of_each)

    def run(self, point: Mapping[str, Any], rng: np.random.Generator) -> ScoreCurve:
        """Curve that the surrogate predicts; all rounds of a trial last equally long."""
        outputs = self._predict([point], np.arange(1, EPOCHS + 1))
        seconds = max(float(outputs[-1, SECONDS]), 1e-3) / EPOCHS
        return ScoreCurve(outputs[:, VALIDATION], outputs[:, TEST], np.full(EPOCHS, seconds))

    def _best_of_each(self, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Highest test score of each point at some of its epochs, ``(n,)``."""
        some = np.array([13, 26, 39, EPOCHS])
        outputs = self._predict(points, some)[:, TEST]
        return np.asarray(outputs.reshape(len(points), len(some)).max(axis=1))

    def _predict(self, points: Sequence[Mapping[str, Any]], epochs: np.ndarray) -> np.ndarray:
        """``(points * epochs, 6)`` outputs of the model, point after point."""
        values = np.array([[point[name] for name in INPUTS] for point in points], dtype=np.float32)
        rows = np.repeat(values, len(epochs), axis=0)
        numbers = np.column_stack([np.tile(epochs, len(points)), rows]).astype(np.float32)
        codes = np.full((len(numbers), 1), self._code, dtype=np.int32)
        (outputs,) = _model(self._folder).run(None, {"x_cat": codes, "x_cont": numbers})
        return np.asarray(outputs, dtype=float)


def tasks(folder: Path) -> Iterator[LCBench]:
    """Every task of a folder, in the order of their numbers."""
    codes = json.loads((folder / "encoding.json").read_text("utf-8"))["OpenML_task_id"]
    for task in _ranges(folder)["OpenML_task_id"]["choices"]:
        yield LCBench(folder, task, codes[task])


@cache
def _model(folder: Path) -> onnxruntime.InferenceSession:
    """The surrogate model of a folder, loaded once for all its tasks."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options)


def _ranges(folder: Path) -> dict[str, Any]:
    """Description of each parameter and of the task, by name."""
    described = json.loads((folder / "config_space.json").read_text("utf-8"))
    return {each["name"]: each for each in described["hyperparameters"]}


def _distribution(described: Mapping[str, Any]) -> BaseDistribution:
    """Optuna's distribution of a parameter in config_space.json."""
    low, high, log = described["lower"], described["upper"], described["log"]
    if described["type"] == "uniform_int":
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)
