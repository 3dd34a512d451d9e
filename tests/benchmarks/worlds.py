"""Surrogates of recorded curves: the learning curve that any point of the space would have had.

A Gaussian process for each principal component of the curves, that is of the logits of both
accuracies and the logarithm of the validation loss together, and of the logarithms of an epoch's
seconds; or a forest. A run that diverged has the smallest accuracy of all from then on. The share
of variance explained at held-out points says how far a surrogate can be trusted
(`World.explained`). The difference between two seeds of one point is the luck: every simulated
trial is given a draw of it.
"""

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search.samplers.unit_cube import UnitCube
from spaces import Choices, SearchSpace, TrialParams
from tests.benchmarks.record_curves import CURVES, EPOCHS, SETS, SPACE, points

COMPONENTS = 6
"""Of the curves; more than these are noise."""
VAL, TEST, LOSS = (slice(k * EPOCHS, (k + 1) * EPOCHS) for k in range(3))
"""Places in a point's curves, all of which are better where they are higher."""
ALIKE = 6
"""Repeated runs whose luck a trial may have: of points about as good, for bad ones vary more."""


def coordinates(points: Mapping[str, Any]) -> np.ndarray:
    """Features ``(n, d)`` of points given as columns ``(n,)`` by field, each in about [0, 1].

    The backbone's learning rate stands beside the head's, because the two act independently.
    """
    columns = []
    for field, dim in SPACE.open.items():
        values = np.asarray(points[field])
        if isinstance(dim, Choices):
            columns += [(values == choice).astype(float) for choice in dim.choices]
            continue
        low, high = float(dim.low), float(dim.high)
        if field == "backbone_lr_scale":
            values = values * np.asarray(points["learning_rate"])
            rates = SPACE.open["learning_rate"]
            assert not isinstance(rates, Choices)
            low, high = low * float(rates.low), high * float(rates.high)
        if dim.log:
            values, low, high = np.log(values), np.log(low), np.log(high)
        place = (values - low) / (high - low)
        columns.append(np.sqrt(place) if field == "unfreeze" else place)
    return np.column_stack(columns).astype(float)


class Surface:
    """One Gaussian process for each component of ``(n, k)`` values over ``(n, d)`` points."""

    def __init__(self, points: np.ndarray, values: np.ndarray, components: int) -> None:
        self._mean = values.mean(axis=0)
        left, sizes, self._axes = np.linalg.svd(values - self._mean, full_matrices=False)
        scores = (left * sizes)[:, :components]
        self._axes = self._axes[:components]
        self._parts: list[tuple[float, GaussianProcessRegressor]] = []
        unseen = np.empty_like(scores)
        for k, score in enumerate(scores.T):
            scale = score.std()
            kernel = ConstantKernel(1.0) * Matern(np.ones(points.shape[1]), (0.1, 30), nu=2.5)
            kernel += WhiteKernel(0.1, (1e-3, 1))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is fine
                fitted = GaussianProcessRegressor(kernel).fit(points, score / scale)
            inverse = np.linalg.inv(fitted.L_ @ fitted.L_.T)
            unseen[:, k] = score - scale * fitted.alpha_ / np.diag(inverse)
            self._parts.append((scale, fitted))
        self.left_out = self._mean + unseen @ self._axes
        """``(n, k)``: each point as told by all the others (leave one out)."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """``(m, k)`` values at ``(m, d)`` points."""
        scores = [scale * fitted.predict(points) for scale, fitted in self._parts]
        return self._mean + np.stack(scores, axis=1) @ self._axes


class Forest:
    """A forest over the same, which assumes no smoothness: a check that no sampler lives by it."""

    def __init__(self, points: np.ndarray, values: np.ndarray, components: int) -> None:
        self._trees = ExtraTreesRegressor(
            64, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=0
        ).fit(points, values)
        self.left_out = self._trees.oob_prediction_
        """``(n, k)``: each point as told by the trees that did not see it."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """``(m, k)`` values at ``(m, d)`` points: its ``predict``, less what that takes for one."""
        few = points.astype(np.float32)
        return np.mean(
            [tree.tree_.predict(few)[..., 0] for tree in self._trees.estimators_], axis=0
        )


MODELS = {"processes": Surface, "forest": Forest}
"""What recorded points are made continuous by."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of a simulated trial: ``(EPOCHS,)`` each."""

    val_accuracy: np.ndarray
    val_loss: np.ndarray
    test_accuracy: np.ndarray
    """Without its luck: what retraining the point is worth."""
    seconds: np.ndarray
    """Of each epoch, not in all."""


class World:
    """A data set on which searches are simulated."""

    def __init__(self, name: str, model: str = "processes") -> None:
        table = _whole(pd.read_parquet(CURVES / f"{name}.parquet"))
        heads = table[table["epoch"] == 1].reset_index(drop=True)
        curves = np.hstack(
            [
                _logits(table["val_accuracy"].to_numpy()).reshape(-1, EPOCHS),
                _logits(table["test_accuracy"].to_numpy()).reshape(-1, EPOCHS),
                -np.log(np.clip(table["val_loss"].to_numpy(), 0.01, 10)).reshape(-1, EPOCHS),
            ]
        )
        self.space = _space(name)
        """`SPACE`, which begins with what was learnt from the other sets, as a preset does."""
        self._images = _images(table["val_accuracy"].to_numpy())
        first = np.flatnonzero(heads["seed"] == 0)
        at = coordinates(heads.iloc[first])
        self.points = len(first)
        self._curves = MODELS[model](at, curves[first], COMPONENTS)
        pace = np.log(table["seconds"].to_numpy()).reshape(-1, EPOCHS)
        self._pace = MODELS[model](at, pace[first], 2)
        missed = ((curves[first] - self._curves.left_out) ** 2).mean(axis=0)
        self.explained = 1 - missed / curves[first].var(axis=0)
        """``(3 * EPOCHS,)`` share of the variance between points that is told at unseen ones."""
        self._luck, self._repeated = _luck(heads, curves)
        self.best, self.typical = self._best_and_typical()
        """Test accuracies of the best point there is, and of one that is drawn at random: what a
        search is worth that has found nothing yet."""

    def run(self, params: TrialParams, rng: np.random.Generator) -> Curve:
        """The curve of a simulated trial, with its own draw of luck.

        Luck lifts no trial above the run that it was measured on: a poor point that learns with one
        seed only would otherwise beat every point that learns with any seed.
        """
        at = coordinates({field: [getattr(params, field)] for field in SPACE.open})
        mean = self._curves.at(at)[0]
        far = np.abs(self._repeated[:, EPOCHS - 1] - mean[EPOCHS - 1])
        one = rng.choice(np.argsort(far)[:ALIKE])
        luck, reached = self._luck[one], self._repeated[one] + self._luck[one]
        had = np.minimum(mean + luck, np.maximum(mean, reached))
        return Curve(
            val_accuracy=np.round(expit(had[VAL]) * self._images) / self._images,
            val_loss=np.exp(-had[LOSS]),
            test_accuracy=expit(mean[TEST]),
            seconds=np.exp(self._pace.at(at)[0]),
        )

    def _best_and_typical(self) -> tuple[float, float]:
        """The best test accuracy and that of a typical point, by random search and refinement."""
        cube, rng = UnitCube(SPACE.distributions()), np.random.default_rng(0)
        places, typical = cube.sample(rng, 4000), 0.0
        for _ in range(8):
            at = coordinates(pd.DataFrame([cube.decode(place) for place in places]))
            reached = expit(self._curves.at(at)[:, TEST]).max(axis=1)
            typical = typical or float(reached.mean())
            best = places[reached.argsort()[::-1][:20]]
            places = np.vstack([best, cube.perturb(rng, best, 1000)])
        return float(reached.max()), typical


def _space(name: str) -> SearchSpace:
    """The space, which starts with the heads alone and the best point of the other sets."""
    behind = []
    for other in SETS:
        if other != name:
            last = pd.read_parquet(CURVES / f"{other}.parquet").query(f"epoch == {EPOCHS}")
            reached = last.groupby("point")["test_accuracy"].mean()
            behind.append(reached.max() - reached)
    best = points()[int(pd.concat(behind, axis=1).dropna().mean(axis=1).idxmin())]
    recipe = {field: getattr(best, field) for field in SPACE.open if field != "backbone"}
    return SearchSpace(SPACE.dimensions, name=SPACE.name, recipes=[{"unfreeze": 0.0}, recipe])


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Runs with all epochs; after diverging, a run has the smallest accuracy."""
    least = table[["val_accuracy", "test_accuracy"]].min()
    least["val_loss"] = table["val_loss"].max()
    runs = []
    for (point, seed), run in table.groupby(["point", "seed"]):
        whole = run.set_index("epoch").reindex(range(1, EPOCHS + 1))
        sound = whole["val_accuracy"].notna() & whole["test_accuracy"].notna()
        for column, value in least.items():
            whole[column] = whole[column].where(sound, value)
        whole["seconds"] = whole["seconds"].fillna(run["seconds"].mean())
        runs.append(whole.ffill().assign(point=point, seed=seed).reset_index())
    return pd.concat(runs, ignore_index=True).sort_values(["point", "seed", "epoch"])


@lru_cache
def world(name: str, model: str = "processes") -> World:
    """The world of a data set, fitted once per process."""
    return World(name, model)


def _luck(heads: pd.DataFrame, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of repeated runs from the mean curve of their point; and those means."""
    luck, means = [], []
    for _, rows in heads.groupby("point").groups.items():
        if len(rows) > 1:
            repeated = curves[np.asarray(rows)]
            bessel = np.sqrt(len(rows) / (len(rows) - 1))  # the mean is of the same few
            luck.append(bessel * (repeated - repeated.mean(axis=0)))
            means.append(np.broadcast_to(repeated.mean(axis=0), repeated.shape))
    return np.concatenate(luck), np.concatenate(means)


def _images(accuracies: np.ndarray) -> int:
    """Number of images behind accuracies that are all multiples of one over it."""
    counts = (n * accuracies for n in itertools.count(1))
    return 1 + next(i for i, c in enumerate(counts) if np.allclose(c, np.round(c), atol=1e-3))


def _logits(accuracy: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracy, 0.01, 0.995)))
