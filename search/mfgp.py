"""A sampler that learns from curves: a Gaussian process over points and epochs.

To Optuna's samplers a stopped trial is worth little, or as much as its last epoch. Here each epoch
says something of what its trial, and trials like it, would come to at the longest, so that the
many that were stopped early are what is learnt from (multi-fidelity Bayesian optimization, as in
Kandasamy et al. 2017, with the expected improvement of Jones et al. 1998).
"""

import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from search.cube import Cube

STARTUP = 6
"""Trials with an epoch before anything is learnt."""
CHANCE = 0.1
"""Share of points that are drawn at random all the same."""
MOST = 100
"""Trials that are learnt from: the better half of them the best, the others drawn."""
_EPOCHS = {3**k for k in range(12)}
"""That a curve is told by, beside its last: those between say little more."""
ANYWHERE, NEAR, BEST = 300, 200, 5
"""Candidates drawn from the whole space, and near the best trials."""


class MultiFidelitySampler(BaseSampler):
    """Proposes the candidate of the greatest expected improvement on the best trial so far."""

    def __init__(self, *, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._common = IntersectionSearchSpace(include_pruned=True)
        self._ended: dict[int, _Curve] = {}
        self._kernel: Kernel | None = None
        self._fitted = 0
        """Trials that there were when the kernel was last fitted."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What all finished trials have in common."""
        return {n: d for n, d in self._common.calculate(study).items() if not d.single()}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """At random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The best candidate; nothing, so that each parameter is drawn, where one is to be."""
        curves, waiting = self._known(study, search_space.keys())
        if not search_space or len(curves) < STARTUP or self._rng.random() < CHANCE:
            return {}
        chosen = self._chosen(curves)
        last = max(max(curve.epochs) for curve in chosen)
        cube = Cube(search_space)

        def after(epochs: int | Sequence[int], places: np.ndarray) -> np.ndarray:
            """Coordinates of places after so many epochs."""
            progress = np.log(epochs) / np.log(max(last, 2))
            columns = cube.features(places)
            return np.column_stack([columns, np.broadcast_to(progress, len(columns))])

        rows = [(c.params, e, v) for c in chosen for e, v in zip(c.epochs, c.values, strict=True)]
        params, epochs, values = zip(*rows, strict=True)
        told = after(epochs, cube.places(params))
        process = self._process(told, _scores(np.array(values)), len(curves))
        if waiting:
            process = _believing(process, after(last, cube.places(waiting)))

        tried = cube.places([curve.params for curve in chosen])
        drawn = np.vstack(
            [cube.draw(self._rng, ANYWHERE), cube.near(self._rng, tried[:BEST], NEAR)]
        )
        reached = process.predict(after(last, tried)).max()
        gains = _improvement(process, after(last, drawn), reached)
        return cube.values(drawn[gains.argmax()])

    def _known(
        self, study: Study, names: Set[str]
    ) -> "tuple[list[_Curve], list[Mapping[str, Any]]]":
        """Curves of all trials that have one and those parameters; the points of those that run."""
        sign = 1 if study.direction is StudyDirection.MAXIMIZE else -1
        curves: list[_Curve] = []
        running: list[Mapping[str, Any]] = []
        for trial in study.get_trials(deepcopy=False):
            if not names <= trial.params.keys():
                continue
            curve = self._ended.get(trial.number) or _Curve.of(trial, sign)
            if trial.state is TrialState.RUNNING:
                running.append(trial.params)
            elif curve is not None:
                self._ended[trial.number] = curve
            if curve is not None:
                curves.append(curve)
        return curves, running

    def _chosen(self, curves: "list[_Curve]") -> "list[_Curve]":
        """Those that are learnt from, the best first."""
        ranked = sorted(curves, key=lambda curve: -max(curve.values))
        if len(ranked) <= MOST:
            return ranked
        others = self._rng.choice(np.arange(MOST // 2, len(ranked)), MOST // 2, replace=False)
        return [*ranked[: MOST // 2], *(ranked[i] for i in sorted(others))]

    def _process(self, at: np.ndarray, scores: np.ndarray, trials: int) -> GaussianProcessRegressor:
        """Fitted to what is known; its kernel too, where there is a tenth more than last time."""
        expected = _kernel(at.shape[1])
        if self._kernel is None or self._kernel.theta.size != expected.theta.size:
            self._kernel, self._fitted = expected, 0
        again = trials - self._fitted >= max(4, trials // 10)
        optimizer = _posterior_mode(expected.theta) if again else None
        process = GaussianProcessRegressor(self._kernel, optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is fine
            process.fit(at, scores)
        if again:
            self._kernel, self._fitted = process.kernel_, trials
        return process


@dataclass(frozen=True)
class _Curve:
    """What is learnt from a trial: some of its epochs, ascending."""

    params: Mapping[str, Any]
    epochs: Sequence[int]
    values: Sequence[float]
    """Better where they are higher."""

    @classmethod
    def of(cls, trial: FrozenTrial, sign: int) -> "_Curve | None":
        """None of one that has no epoch yet. One that failed is as bad as any after its last."""
        told = {epoch: sign * value for epoch, value in trial.intermediate_values.items()}
        last = max(told, default=0)
        epochs = [e for e in told if e == last or e in _EPOCHS]
        values = [told[e] for e in epochs]
        if trial.state is TrialState.FAIL:
            epochs, values = [*epochs, last + 1], [*values, -np.inf]
        return cls(trial.params, epochs, values) if epochs else None


def _scores(values: np.ndarray) -> np.ndarray:
    """Standardized; how bad the bad ones are, far below the median, says nothing of the best."""
    middle = np.median(values[np.isfinite(values)])
    kept = np.maximum(values, middle - 1.5 * (values.max() - middle))
    return np.asarray((kept - kept.mean()) / (kept.std() + 1e-9))


def _kernel(size: int) -> Kernel:
    """Of ``size`` coordinates, as it is expected before anything is known."""
    lengths = Matern(np.ones(size), (0.05, 20), nu=2.5)
    return ConstantKernel(1.0, (0.05, 20)) * lengths + WhiteKernel(0.1, (1e-3, 2))


def _posterior_mode(expected: np.ndarray) -> Callable[..., tuple[np.ndarray, float]]:
    """An optimizer of a kernel whose logarithms are ``expected``, give or take one.

    With a few trials and many parameters the likelihood alone finds what isn't there.
    """

    def optimize(
        loss: Callable[[np.ndarray], tuple[float, np.ndarray]],
        start: np.ndarray,
        bounds: np.ndarray,
    ) -> tuple[np.ndarray, float]:
        def penalized(theta: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = loss(theta)
            off = theta - expected
            return value + 0.5 * off @ off, slope + off

        done = minimize(
            penalized, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 15}
        )
        return done.x, done.fun

    return optimize


def _believing(process: GaussianProcessRegressor, at: np.ndarray) -> GaussianProcessRegressor:
    """Told that some points came to what is expected of them, so that nobody tries them again."""
    known = np.vstack([process.X_train_, at])
    scores = np.concatenate([process.y_train_, process.predict(at)])
    return GaussianProcessRegressor(process.kernel_, optimizer=None).fit(known, scores)


def _improvement(process: GaussianProcessRegressor, at: np.ndarray, reached: float) -> np.ndarray:
    """``(n,)`` expected improvement of ``(n, d)`` points on a score."""
    mean, spread = process.predict(at, return_std=True)
    noise = process.kernel_.k2.noise_level
    sure = np.sqrt(np.maximum(spread**2 - noise, 1e-12))
    gain = (mean - reached) / sure
    return np.asarray(sure * (gain * norm.cdf(gain) + norm.pdf(gain)))
