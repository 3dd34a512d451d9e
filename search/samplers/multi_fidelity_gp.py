"""`MultiFidelitySampler`: multi-fidelity Bayesian optimization over configurations and rounds.

A point is a configuration: a value for every open parameter. Optuna's TPESampler ranks a pruned
trial by its last round, and Optuna's GPSampler ignores it. Here a Gaussian process is fitted to the
learning curves of at most `MAX_CURVES` finished trials and at most as many running ones
(`search.samplers.posterior`). So trials that were stopped early help to predict final scores too.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from sklearn.gaussian_process.kernels import Kernel
from threadpoolctl import ThreadpoolController

from search.samplers.learning_curves import LearningCurve, LearningCurves, best_first
from search.samplers.posterior import Posterior, prior_kernel
from search.samplers.unit_cube import NamesAt, UnitCube

STARTUP_TRIALS = 6
"""Number of trials with a finite score that must exist before the Gaussian process is fitted."""
RANDOM_SHARE = 0.1
"""Share of points that are drawn at random after startup, for exploration."""
MAX_CURVES = 100
"""Largest number of curves of finished trials in the fit, and likewise of running trials.

If there are more, half of the curves are the best ones and half a random sample of the others.
"""
UNIFORM_CANDIDATES = 300
"""Candidate points drawn from the whole space."""
PERTURBED_CANDIDATES = 200
"""Candidate points drawn near the best trials."""
PERTURBED_TRIALS = 5
"""Number of best trials that candidates are drawn near."""
OPTIMISM_STD = 2
"""Width in standard deviations of the upper confidence bound that `could_win` uses."""

_BLAS = ThreadpoolController()


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread: while trials use every core, more threads mostly wait."""
    with _BLAS.limit(limits=1, user_api="blas"):
        yield


class MultiFidelitySampler(BaseSampler):
    """Proposes the candidate with the largest expected improvement of the score at ``max_rounds``.

    All points are random until `STARTUP_TRIALS` trials have a finite score. After that, a share
    `RANDOM_SHARE` of the points is random. Running trials count as pending points (kriging
    believer). Expected improvement is maximized over random candidates, not by gradients, because
    parameters may be categorical or stepped.

    It does not choose the number of rounds of a trial, and supports only one objective.

    Args:
        seed: Seed of the random draws.
        max_rounds: Rounds of a trial that runs to its end: the highest fidelity.
        names_at: Parameters that a point uses; None if every point uses all.
    """

    _max_curves = MAX_CURVES

    def __init__(self, *, seed: int, max_rounds: int, names_at: NamesAt | None = None) -> None:
        self._max_rounds, self._names_at = max_rounds, names_at
        self._rng = np.random.default_rng(seed)
        self._random_sampler = RandomSampler(seed=seed)
        self._curves = LearningCurves(names_at)
        self._kernel: Kernel | None = None
        """Kernel with the hyperparameters of the last fit; before that, with those of the prior."""
        self._finished_at_fit = 0
        """Number of finished trials at the last fit of the hyperparameters."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters of all trials together: an initial point may lack some."""
        self._curves.update(study)
        return dict(self._curves.space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A random value of a parameter that `sample_relative` left out."""
        return self._random_sampler.sample_independent(study, trial, param_name, param_distribution)

    @single_blas_thread()
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of the best candidate that is new; empty if the point is to be drawn at random.

        Optuna calls this method right after `infer_relative_search_space`, which reads the study.
        """
        running = self._curves.running_curves().values()
        if not search_space or self._is_startup(running) or self._rng.random() < RANDOM_SHARE:
            return {}
        # 1. Fit the Gaussian process, and draw candidates.
        posterior = self._fit_posterior(self._training_curves(running))
        tried = [curve.params for curve in posterior.curves]
        pending = [other.params for other in self._curves.running.values()]
        cube = posterior.cube
        best = cube.encode(tried[:PERTURBED_TRIALS])
        perturbed = cube.perturb(self._rng, best, PERTURBED_CANDIDATES)
        candidates = np.vstack([cube.sample(self._rng, UNIFORM_CANDIDATES), perturbed])
        # 2. Rank them by expected improvement over the best posterior mean of a tried point.
        incumbent = posterior.final_scores_of(tried)[0].max()
        gains = posterior.fantasize(pending).expected_improvement(candidates, incumbent)
        # 3. Take the first candidate that no trial has.
        known = [
            {name: params[name] for name in search_space if name in params}
            for params in [*tried, *pending]
        ]
        ranked = map(cube.decode, candidates[gains.argsort()[::-1]])
        return next((point for point in ranked if point not in known), {})

    @single_blas_thread()
    def could_win(self, study: Study, number: int, rounds: int, value: float) -> bool:
        """Whether a running trial has a chance to end with the best final score of all.

        It has a chance if the upper confidence bound of its final score reaches the highest
        posterior mean of any trial's final score. This is similar to freeze-thaw Bayesian
        optimization (Swersky et al. 2014).

        Args:
            study: The study that the trial belongs to.
            number: Number of the trial.
            rounds: Rounds that the trial has finished; the last is perhaps not recorded yet.
            value: The trial's metric after the last of these rounds.

        Returns:
            True if the trial has a chance. False if it has none, if too few trials have a score
            yet, or if the trial lacks a parameter.
        """
        self._curves.update(study)
        trial = self._curves.running.get(number)
        curves = self._curves.running_curves()
        others = [curve for other, curve in curves.items() if other != number]
        if trial is None or not self._curves.space or self._is_startup(others):
            return False
        own = self._curves.curve_of(trial, {**trial.intermediate_values, rounds: value})
        assert own is not None  # running trials here have every parameter, and this one a round
        posterior = self._fit_posterior([*self._training_curves(others), own])
        mean, std = posterior.final_scores_of([curve.params for curve in posterior.curves])
        # the trial's own curve was given last
        return bool(mean[-1] + OPTIMISM_STD * std[-1] >= mean.max())

    def _is_startup(self, running: Collection[LearningCurve]) -> bool:
        """Whether fewer than `STARTUP_TRIALS` trials have a finite value."""
        curves = [*self._curves.finished[:STARTUP_TRIALS], *running]
        return sum(math.isfinite(curve.best) for curve in curves) < STARTUP_TRIALS

    def _training_curves(self, running: Collection[LearningCurve]) -> list[LearningCurve]:
        """The curves that the Gaussian process is fitted to, best first."""
        finished = self._subset(self._curves.finished)
        return sorted([*finished, *self._subset(sorted(running, key=best_first))], key=best_first)

    def _subset(self, ranked: Sequence[LearningCurve]) -> Sequence[LearningCurve]:
        """At most `_max_curves` of the curves, which are sorted best first."""
        if len(ranked) <= self._max_curves:
            return ranked
        half = self._max_curves // 2
        others = self._rng.choice(np.arange(half, len(ranked)), half, replace=False)
        return [*ranked[:half], *(ranked[i] for i in others)]

    def _fit_posterior(self, curves: Sequence[LearningCurve]) -> Posterior:
        """The posterior given these curves.

        The hyperparameters are fitted again when enough trials have finished since the last fit: at
        least 4, and at least a tenth of all finished trials. Before the first fit, the
        hyperparameters are those of the prior.
        """
        cube = UnitCube(self._curves.space, self._names_at)
        prior = prior_kernel(cube)
        if self._kernel is None or self._kernel.theta.size != prior.theta.size:  # new parameters
            self._kernel, self._finished_at_fit = prior, 0
        finished = len(self._curves.finished)
        refit = finished - self._finished_at_fit >= max(4, finished // 10)
        posterior = Posterior.fit(
            curves, cube, self._max_rounds, self._kernel, prior=prior if refit else None
        )
        if refit:
            self._kernel, self._finished_at_fit = posterior.kernel, finished
        return posterior
