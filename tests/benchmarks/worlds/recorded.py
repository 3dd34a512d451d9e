"""Surrogate models of recorded curves: they predict the learning curve of any point of the space.

A curve holds the logits of validation and test accuracy and the logarithm of the validation loss.
A second surrogate predicts the logarithm of an epoch's seconds. Either is a Gaussian process for
each principal component, or a random forest. After a run has diverged, it has the smallest accuracy
of all runs. `World.explained` is the share of variance that the surrogate explains at held-out
points. The deviation of a run from the mean over seeds is noise; every simulated trial gets a draw
of it.
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
"""Number of principal components of the curves; further ones are noise."""
VAL, TEST, LOSS = (slice(k * EPOCHS, (k + 1) * EPOCHS) for k in range(3))
"""Columns of a point's curves. Higher values are better in all of them."""
ALIKE = 6
"""Number of repeated runs from which a trial's noise is drawn: those with the nearest accuracy.

Runs at bad points vary more than those at good points.
"""


def coordinates(points: Mapping[str, Any]) -> np.ndarray:
    """Features ``(n, d)``, each in about [0, 1], of points given as a column ``(n,)`` per field.

    The backbone's learning rate is a feature instead of its ratio to the head's, because the two
    rates act independently.
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
    """Gaussian processes for the principal components of values ``(n, k)`` at points ``(n, d)``."""

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
        """Leave-one-out prediction at each point, ``(n, k)``."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """Predicted values ``(m, k)`` at points ``(m, d)``."""
        scores = [scale * fitted.predict(points) for scale, fitted in self._parts]
        return self._mean + np.stack(scores, axis=1) @ self._axes


class Forest:
    """Random forest for the same values.

    It assumes no smoothness, so it shows whether a sampler's success depends on smoothness.
    """

    def __init__(self, points: np.ndarray, values: np.ndarray, components: int) -> None:
        self._trees = ExtraTreesRegressor(
            64, min_samples_leaf=2, bootstrap=True, oob_score=True, random_state=0
        ).fit(points, values)
        self.left_out = self._trees.oob_prediction_
        """Out-of-bag prediction at each point, ``(n, k)``."""

    def at(self, points: np.ndarray) -> np.ndarray:
        """Predicted values ``(m, k)`` at points ``(m, d)``, without the overhead of ``predict``."""
        few = points.astype(np.float32)
        return np.mean(
            [tree.tree_.predict(few)[..., 0] for tree in self._trees.estimators_], axis=0
        )


MODELS = {"processes": Surface, "forest": Forest}
"""Surrogate models, by name."""


@dataclass(frozen=True)
class Curve:
    """Learning curve of a simulated trial; all arrays have shape ``(EPOCHS,)``."""

    val_accuracy: np.ndarray
    val_loss: np.ndarray
    test_accuracy: np.ndarray
    """Expected test accuracy, without the trial's noise."""
    seconds: np.ndarray
    """Duration of each epoch."""


class World:
    """Image set on which searches are simulated."""

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
        """`SPACE` with starting points learnt from the other image sets, like a preset's."""
        self.images = images_of(table["val_accuracy"].to_numpy())
        """Number of validation images."""
        first = np.flatnonzero(heads["seed"] == 0)
        at = coordinates(heads.iloc[first])
        self.points = len(first)
        self._curves = MODELS[model](at, curves[first], COMPONENTS)
        pace = np.log(table["seconds"].to_numpy()).reshape(-1, EPOCHS)
        self._pace = MODELS[model](at, pace[first], 2)
        missed = ((curves[first] - self._curves.left_out) ** 2).mean(axis=0)
        self.explained = 1 - missed / curves[first].var(axis=0)
        """Share of the variance between points explained at held-out points, ``(3 * EPOCHS,)``."""
        self._luck, self._repeated = _luck(heads, curves)
        self.best, self.typical = self._best_and_typical()
        """Test accuracies of the best point and, on average, of a random point. A search that has
        no result yet is scored as the random point."""

    def run(self, params: TrialParams, rng: np.random.Generator) -> Curve:
        """Curve of a simulated trial, with a draw of noise.

        Noise lifts a trial at most to the level of the run that the noise comes from. Otherwise, a
        poor point that learns with one seed only could beat points that learn with every seed.
        """
        at = coordinates({field: [getattr(params, field)] for field in SPACE.open})
        mean = self._curves.at(at)[0]
        far = np.abs(self._repeated[:, EPOCHS - 1] - mean[EPOCHS - 1])
        one = rng.choice(np.argsort(far)[:ALIKE])
        luck, reached = self._luck[one], self._repeated[one] + self._luck[one]
        had = np.minimum(mean + luck, np.maximum(mean, reached))
        return Curve(
            val_accuracy=np.round(expit(had[VAL]) * self.images) / self.images,
            val_loss=np.exp(-had[LOSS]),
            test_accuracy=expit(mean[TEST]),
            seconds=np.exp(self._pace.at(at)[0]),
        )

    def _best_and_typical(self) -> tuple[float, float]:
        """Test accuracy of the best point, and mean over random points, by random local search."""
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
    """Space whose starting points are head-only training and the best point of the other sets."""
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
    """Fill up runs to all epochs: after a run diverged, it has the smallest accuracy of all."""
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
    """`World` of an image set, fitted once per process."""
    return World(name, model)


def _luck(heads: pd.DataFrame, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of repeated runs from their point's mean curve, and those mean curves.

    Both have one row per repeated run.
    """
    luck, means = [], []
    for _, rows in heads.groupby("point").groups.items():
        if len(rows) > 1:
            repeated = curves[np.asarray(rows)]
            bessel = np.sqrt(len(rows) / (len(rows) - 1))  # corrects for the estimated mean
            luck.append(bessel * (repeated - repeated.mean(axis=0)))
            means.append(np.broadcast_to(repeated.mean(axis=0), repeated.shape))
    return np.concatenate(luck), np.concatenate(means)


def images_of(accuracies: np.ndarray) -> int:
    """Smallest number of images n for which all accuracies are multiples of 1/n."""
    counts = (n * accuracies for n in itertools.count(1))
    return 1 + next(i for i, c in enumerate(counts) if np.allclose(c, np.round(c), atol=1e-3))


def _logits(accuracy: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(accuracy, 0.01, 0.995)))
