"""`FreezeThawSampler`: proposes points, and says which trials should go on.

A free worker can begin a new point or go on with a trial that has begun, and what it gains depends
on how long it is given. So for every decision a number of rounds is drawn, at random on a log scale
between a few and a whole trial, and the choice is what promises the largest improvement after that.
The new point is the one whose last round promises most, whatever the horizon: within a few rounds
no new point beats a trained one, and what seems to is only the least certain.

Drawing the horizon follows ifBO (Rakotoarison et al. 2024, "In-Context Freeze-Thaw Bayesian
Optimization").
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from scipy.spatial.distance import cdist

from search.samplers.curve_kernel import NO_TRIAL, CurveKernel, Rounds
from search.samplers.curve_posterior import CurvePosterior, expected_improvement, fidelity
from search.samplers.learning_curves import LearningCurve, best_first
from search.samplers.multi_fidelity_gp import (
    PERTURBED_TRIALS,
    MultiFidelitySampler,
    single_blas_thread,
)
from search.samplers.unit_cube import NamesAt, UnitCube

MAX_CURVES = 40
"""Largest number of curves of finished trials in the fit, and likewise of running trials.

If there are more, half of the curves are the best ones and half a random sample of the others.
"""
UNIFORM_CANDIDATES = 120
"""Candidate points drawn from the whole space."""
PERTURBED_CANDIDATES = 80
"""Candidate points drawn near the best trials."""
SHORTEST_HORIZON = 3
"""Rounds of the shortest horizon."""
SPACING = 0.8
"""Distance that a new point keeps from others, as a share of that of points that fill the cube.

With n points in p dimensions, the latter is n to the power of -1/p. A point next to one that was
tried tells little but noise.
"""


@dataclass(frozen=True)
class _Use:
    """What a worker may run: a trial that has begun, or a new point."""

    params: Mapping[str, Any]
    """Parameter values, by name."""
    rounds: int
    """Rounds that are done."""
    number: int
    """Number of the trial, or `NO_TRIAL`."""


class FreezeThawSampler(MultiFidelitySampler):
    """Proposes points, and says which trials should go on, by expected improvement.

    Startup and candidates are as in the class that it extends; after startup no point is random.
    Unfinished trials count as pending (kriging believer).

    Args:
        seed: Seed of the random draws.
        max_rounds: Rounds of a trial that runs to its end: the highest fidelity.
        names_at: Parameters that a point uses; None if every point uses all.
    """

    _max_curves = MAX_CURVES

    def __init__(self, *, seed: int, max_rounds: int, names_at: NamesAt | None = None) -> None:
        super().__init__(seed=seed, max_rounds=max_rounds, names_at=names_at)
        self._curve_kernel: CurveKernel | None = None
        """Kernel with the hyperparameters of the last fit; before that, with those of the prior."""
        self._begun_at_fit = 0
        """Number of trials that had begun at the last fit of the hyperparameters."""
        self._next_point: dict[str, Any] | None = None
        """Point that `trial_to_resume` preferred to every paused trial, and that comes next."""

    @single_blas_thread()
    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of the best candidate that is new; empty if the point is to be drawn at random.

        Optuna calls this method right after `infer_relative_search_space`, which reads the study.
        """
        point, self._next_point = self._next_point, None
        if point is not None:
            return point
        if not search_space or self._is_startup(self._curves.running_curves().values()):
            return {}
        chosen = self._choose({})
        assert not isinstance(chosen, int)  # without paused trials, only points are candidates
        return chosen

    @single_blas_thread()
    def trial_to_resume(
        self, study: Study, paused: Collection[int], *, or_begin: bool = True
    ) -> int | None:
        """The paused trial that a free worker should go on with; None if a new point is better.

        The next call of `Study.ask` gives that point. If a worker may not ``or_begin`` one, it gets
        the best paused trial. The result is None, too, if too few trials have a score.
        """
        self._curves.update(study)
        curves = self._curves.running_curves()
        resumable = {number: curves[number] for number in paused if number in curves}
        if not resumable or self._is_startup(curves.values()):
            return None
        chosen = self._choose(resumable, or_begin=or_begin)
        if isinstance(chosen, int):
            return chosen
        self._next_point = chosen
        return None

    @single_blas_thread()
    def should_go_on(
        self,
        study: Study,
        number: int,
        *,
        rounds: int,
        value: float,
        paused: Collection[int],
        or_begin: bool = True,
    ) -> bool | None:
        """Whether a running trial is a better use of its worker than a paused trial or a new point.

        Args:
            study: The study that the trial belongs to.
            number: Number of the trial.
            rounds: Rounds that the trial has finished; the last is perhaps not recorded yet.
            value: The trial's metric after the last of these rounds.
            paused: Numbers of trials that may go on in its place.
            or_begin: Whether to compare it to new points, too.

        Returns:
            None if it can't be told: too few trials have a score, or the trial lacks a parameter.
        """
        self._curves.update(study)
        trial, curves = self._curves.running.get(number), self._curves.running_curves()
        curves.pop(number, None)
        if trial is None or not self._curves.space or self._is_startup(curves.values()):
            return None
        values = {**trial.intermediate_values, rounds: value}
        own = self._curves.curve_of(trial, values)
        assert own is not None  # running trials here have every parameter, and this one a round
        resumable = {other: curves[other] for other in paused if other in curves}
        return self._choose({**resumable, number: own}, or_begin=or_begin) == number

    def _choose(
        self, paused: Mapping[int, LearningCurve], *, or_begin: bool = True
    ) -> int | dict[str, Any]:
        """The best use of a worker: the number of a paused trial, or a point that no trial has.

        The returned point is empty if every candidate was tried. A worker that may not ``or_begin``
        a point gets a paused trial.
        """
        # 1. Fit the Gaussian process.
        running = {n: c for n, c in self._curves.running_curves().items() if n not in paused}
        ranked = sorted(running.values(), key=best_first)
        curves = [*self._subset(self._curves.finished), *self._subset(ranked), *paused.values()]
        curves.sort(key=best_first)
        cube = UnitCube(self._curves.space, self._names_at)
        posterior = self._conditioned(cube, curves)
        # 2. Believe what running trials will have within a horizon.
        horizon = self._draw_rounds()
        pending = [
            _Use(trial.params, running[n].rounds[-1] if n in running else 0, n)
            for n, trial in self._curves.running.items()
            if n not in paused
        ]
        believing = posterior.believing(self._after(horizon, cube, pending))
        # 3. A worker can go on with a paused trial, or begin the best new point.
        begun = [_Use(curve.params, curve.rounds[-1], curve.number) for curve in curves]
        uses = [use for use in begun if use.number in paused]
        if or_begin and (point := self._best_new_point(cube, believing, begun, pending)):
            uses.append(_Use(point, 0, NO_TRIAL))
        if not uses:
            return {}
        # 4. Which improves most on the best score, and on what running trials will have?
        expected = believing.scores[len(posterior.rounds) :]
        best = float(np.concatenate([posterior.at_rounds(), expected]).max())
        mean, std = believing.predict(self._after(horizon, cube, uses))
        chosen = uses[np.lexsort((mean, expected_improvement(mean, std, best)))[-1]]
        return dict(chosen.params) if chosen.number == NO_TRIAL else chosen.number

    def _best_new_point(
        self,
        cube: UnitCube,
        posterior: CurvePosterior,
        begun: Sequence[_Use],
        pending: Sequence[_Use],
    ) -> dict[str, Any]:
        """The candidate whose last round promises most; empty if every candidate was tried.

        It is compared to the best last round that is expected of the trials that have ``begun``,
        best score first. Points near one that was tried come last (`SPACING`).
        """
        tried = [use.params for use in [*begun, *pending]]
        near_best = cube.encode([use.params for use in begun[:PERTURBED_TRIALS]])
        perturbed = cube.perturb(self._rng, near_best, PERTURBED_CANDIDATES)
        codes = np.vstack([cube.sample(self._rng, UNIFORM_CANDIDATES), perturbed])
        points, numbers = cube.embed(codes), np.full(len(codes), NO_TRIAL)
        at_end = fidelity(np.full(len(codes), self._max_rounds), self._max_rounds)
        mean, std = posterior.predict(Rounds(points, at_end, numbers))
        last, _ = posterior.predict(self._after(self._max_rounds, cube, begun))
        gains = expected_improvement(mean, std, float(last.max()))
        distance = cdist(points, _embedded(cube, tried)).min(axis=1)
        is_apart = distance >= SPACING * len(tried) ** (-1 / len(cube.space))
        known = [{name: params[name] for name in cube.space if name in params} for params in tried]
        for place in np.lexsort((gains, is_apart))[::-1]:
            point = cube.decode(codes[place])
            if point not in known:
                return point
        return {}

    def _after(self, horizon: float, cube: UnitCube, uses: Sequence[_Use]) -> Rounds:
        """The rounds that ``n`` trials reach within a horizon."""
        done = np.array([use.rounds for use in uses])
        return Rounds(
            _embedded(cube, [use.params for use in uses]),
            fidelity(np.minimum(done + horizon, self._max_rounds), self._max_rounds),
            np.array([use.number for use in uses], dtype=int),
        )

    def _draw_rounds(self) -> float:
        """Rounds that a horizon lasts, drawn uniformly on a log scale."""
        shortest = min(SHORTEST_HORIZON, self._max_rounds)
        return float(np.exp(self._rng.uniform(math.log(shortest), math.log(self._max_rounds))))

    def _conditioned(self, cube: UnitCube, curves: Sequence[LearningCurve]) -> CurvePosterior:
        """The posterior given these curves.

        The hyperparameters are fitted again when enough trials have begun since the last fit: at
        least 4, and at least a tenth of all. Before the first fit, they are those of the prior.
        """
        rows = [(c, n, v) for c in curves for n, v in zip(c.rounds, c.values, strict=True)]
        rounds = Rounds(
            _embedded(cube, [curve.params for curve, _, _ in rows]),
            fidelity([n for _, n, _ in rows], self._max_rounds),
            np.array([curve.number for curve, _, _ in rows]),
        )
        prior = CurveKernel.prior(cube.embedded_size)
        kernel = self._curve_kernel
        if kernel is None or kernel.theta.size != prior.theta.size:  # new parameters
            kernel, self._begun_at_fit = prior, 0
        begun = len(self._curves.finished) + len(self._curves.running)
        tune = begun - self._begun_at_fit >= max(4, begun // 10)
        values = np.array([value for _, _, value in rows])
        posterior = CurvePosterior.fit(rounds, values, kernel, tune=tune)
        self._curve_kernel = posterior.kernel
        if tune:
            self._begun_at_fit = begun
        return posterior


def _embedded(cube: UnitCube, points: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Embeddings ``(n, d)`` of ``n`` points, which may be none."""
    if not points:
        return np.empty((0, cube.embedded_size))
    return cube.embed(cube.encode(points))
