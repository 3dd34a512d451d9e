"""A sampler that learns from curves: a Gaussian process over points and epochs.

To Optuna's samplers a stopped trial is worth little, or as much as its last epoch. Here each epoch
says something of what its trial, and trials like it, would come to at the longest, so that the
many that were stopped early are what is learnt from (multi-fidelity Bayesian optimization, as in
Kandasamy et al. 2017, with the expected improvement of Jones et al. 1998). The same expectation
says of a trial that runs whether it may yet lead (as in Swersky et al. 2014).
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel
from threadpoolctl import ThreadpoolController

from search.samplers.learning_curves import Curve, Curves, worst_last
from search.samplers.unit_cube import Cube

STARTUP = 6
"""Trials with an epoch before anything is learnt."""
CHANCE = 0.1
"""Share of points that are drawn at random all the same."""
MOST = 100
"""Trials that are learnt from, of those that ended and of those that run: half of them the best,
the others drawn."""
ANYWHERE, NEAR, BEST = 300, 200, 5
"""Candidates drawn from the whole space, and near the best trials."""
DOUBT = 2
"""Standard deviations above what is expected of a trial that it may yet come to."""
_BLAS = ThreadpoolController()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Beside trials that take every core, BLAS's threads wait for one another for seconds."""
    with _BLAS.limit(limits=1, user_api="blas"):
        yield


class MultiFidelitySampler(BaseSampler):
    """Proposes the candidate of the greatest expected improvement on the best trial so far."""

    def __init__(self, *, seed: int, max_epochs: int) -> None:
        self._last = max_epochs
        self._rng = np.random.default_rng(seed)
        self._random = RandomSampler(seed=seed)
        self._curves = Curves()
        self._kernel: Kernel | None = None
        self._fitted = 0
        """Trials that there were when the kernel was last fitted."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """All that was ever drawn: a point that was given may lack a parameter."""
        self._curves.read(study)
        return dict(self._curves.space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """At random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    @_one_thread()
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The best new candidate; nothing, so that each parameter is drawn, where one is to be.

        Optuna calls it right after `infer_relative_search_space`, which has read the study.
        """
        begun = self._curves.begun()
        if not search_space or self._too_few(begun) or self._rng.random() < CHANCE:
            return {}
        outlook = self._outlook(self._chosen(begun))
        known = [curve.params for curve in outlook.curves]
        waiting = [other.params for other in self._curves.running.values()]
        cube = outlook.cube
        near = cube.near(self._rng, cube.places(known[:BEST]), NEAR)
        drawn = np.vstack([cube.draw(self._rng, ANYWHERE), near])
        gains = outlook.believing(waiting).improvement(drawn, outlook.of(known)[0].max())
        old = [{name: params[name] for name in search_space} for params in [*known, *waiting]]
        ranked = map(cube.values, drawn[gains.argsort()[::-1]])
        return next((point for point in ranked if point not in old), {})

    @_one_thread()
    def may_lead(self, study: Study, number: int, epoch: int, value: float) -> bool:
        """Whether a trial that runs, of that value after an epoch, may come to the most of all.

        None may while too little is known, or if it lacks a parameter.
        """
        self._curves.read(study)
        one, begun = self._curves.running.get(number), self._curves.begun(beside=number)
        if one is None or not self._curves.space or self._too_few(begun):
            return False
        own = self._curves.of(one, {**one.intermediate_values, epoch: value})
        assert own is not None  # it has this epoch
        outlook = self._outlook([*self._chosen(begun), own])
        mean, spread = outlook.of([curve.params for curve in outlook.curves])
        return bool(mean[-1] + DOUBT * spread[-1] >= mean.max())

    def _too_few(self, begun: Sequence[Curve]) -> bool:
        """Whether nothing can be learnt yet; of trials that all failed nothing ever is."""
        curves = [*self._curves.ended[:STARTUP], *begun]
        return sum(math.isfinite(curve.best) for curve in curves) < STARTUP

    def _chosen(self, begun: Sequence[Curve]) -> list[Curve]:
        """Those that are learnt from, the best first."""
        running = sorted(begun, key=worst_last)
        return sorted([*self._few(self._curves.ended), *self._few(running)], key=worst_last)

    def _few(self, ranked: Sequence[Curve]) -> Sequence[Curve]:
        """At most `MOST`, of those that stand the best first."""
        if len(ranked) <= MOST:
            return ranked
        others = self._rng.choice(np.arange(MOST // 2, len(ranked)), MOST // 2, replace=False)
        return [*ranked[: MOST // 2], *(ranked[i] for i in others)]

    def _outlook(self, curves: Sequence[Curve]) -> "_Outlook":
        """From some curves; the kernel is fitted where there are a tenth more than last time."""
        cube = Cube(self._curves.space)
        rows = [(c.params, e, v) for c in curves for e, v in zip(c.epochs, c.values, strict=True)]
        params, epochs, values = zip(*rows, strict=True)
        at = _coordinates(cube, cube.places(params), epochs, self._last)
        expected = _kernel(at.shape[1])
        if self._kernel is None or self._kernel.theta.size != expected.theta.size:
            self._kernel, self._fitted = expected, 0
        trials = len(self._curves.ended)
        again = trials - self._fitted >= max(4, trials // 10)
        optimizer = _posterior_mode(expected.theta) if again else None
        process = GaussianProcessRegressor(self._kernel, optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound is fine
            process.fit(at, _scores(np.array(values)))
        if again:
            self._kernel, self._fitted = process.kernel_, trials
        return _Outlook(curves, cube, self._last, process)


@dataclass(frozen=True)
class _Outlook:
    """What points are expected to come to after their last epoch."""

    curves: Sequence[Curve]
    """That it is learnt from."""
    cube: Cube
    last: int
    process: GaussianProcessRegressor

    def at(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(n,)`` scores expected at ``(n, p)`` places, and how uncertain each is, noise apart."""
        at = _coordinates(self.cube, places, self.last, self.last)
        mean, spread = self.process.predict(at, return_std=True)
        noise = self.process.kernel_.k2.noise_level
        return mean, np.sqrt(np.maximum(spread**2 - noise, 1e-12))

    def of(self, points: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """The same, of points by name."""
        return self.at(self.cube.places(points))

    def believing(self, points: Sequence[Mapping[str, Any]]) -> Self:
        """Told that points come to what is expected of them, so that nobody tries them again."""
        if not points:
            return self
        at = _coordinates(self.cube, self.cube.places(points), self.last, self.last)
        known = np.vstack([self.process.X_train_, at])
        scores = np.concatenate([self.process.y_train_, self.process.predict(at)])
        process = GaussianProcessRegressor(self.process.kernel_, optimizer=None)
        return replace(self, process=process.fit(known, scores))

    def improvement(self, places: np.ndarray, reached: float) -> np.ndarray:
        """``(n,)`` expected improvement of places on a score."""
        mean, spread = self.at(places)
        gain = (mean - reached) / spread
        return np.asarray(spread * (gain * norm.cdf(gain) + norm.pdf(gain)))


def _coordinates(
    cube: Cube, places: np.ndarray, epochs: int | Sequence[int], last: int
) -> np.ndarray:
    """``(n, d)`` of ``(n, p)`` places after so many epochs of ``last``."""
    progress = np.log(epochs) / np.log(max(last, 2))
    return np.column_stack([cube.features(places), np.broadcast_to(progress, len(places))])


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
