import math

import numpy as np
import pytest

from search.samplers.curve_kernel import NO_TRIAL, CurveKernel, Rounds
from search.samplers.curve_posterior import CurvePosterior, expected_improvement, fidelity

PLACES = np.linspace(0, 1, 20)
"""Points of trials, in one coordinate."""


def rounds_at(points: list[float], fidelities: list[float], trials: list[int]) -> Rounds:
    return Rounds(np.array(points)[:, None], np.array(fidelities, dtype=float), np.array(trials))


def ends(*points: float) -> Rounds:
    """The last rounds of new trials."""
    return rounds_at([*points], [1] * len(points), [NO_TRIAL] * len(points))


def fitted(failed_at: float | None = None, *, tuned: bool = True) -> CurvePosterior:
    """Twenty curves that rise by 0.1 and are the higher the nearer their point is to 0.3."""
    heights = 0.9 - np.abs(PLACES - 0.3)
    points, trials = np.repeat(PLACES, 2), np.repeat(np.arange(20), 2)
    values = np.column_stack([heights - 0.1, heights]).ravel()
    rounds = Rounds(points[:, None], np.tile([0.0, 1.0], 20), trials)
    if failed_at is not None:
        rounds = rounds.followed_by(rounds_at([failed_at], [0.3], [20]))
        values = np.append(values, -math.inf)
    return CurvePosterior.fit(rounds, values, CurveKernel.prior(1), tune=tuned)


def test_the_mean_is_highest_where_curves_end_highest() -> None:
    mean, std = fitted().predict(ends(0.3, 0.6, 0.9))
    assert mean.tolist() == sorted(mean, reverse=True)
    assert (std > 0).all()


def test_a_new_trial_is_expected_to_rise_as_the_others_did() -> None:
    mean, _ = fitted().predict(rounds_at([0.31, 0.31], [0, 1], [NO_TRIAL] * 2))
    assert mean[1] > mean[0]


def test_uncertainty_is_larger_far_from_every_trial() -> None:
    near = np.linspace(0, 0.1, 12)
    rounds = rounds_at([*near], [1] * 12, [*range(12)])
    _, std = CurvePosterior.fit(rounds, 0.5 + near, CurveKernel.prior(1), tune=True).predict(
        ends(0.05, 1.0)
    )
    assert std[0] < std[1]


def test_a_failed_trial_does_not_flatten_the_others() -> None:
    """Minus infinity is clipped to a floor before values are standardized."""
    mean, _ = fitted(failed_at=0.95).predict(ends(0.3, 0.5, 0.95))
    assert np.isfinite(mean).all()
    assert mean[0] > mean[1] > mean[2]


def test_believing_keeps_the_mean_and_removes_the_uncertainty_at_a_pending_point() -> None:
    posterior, pending = fitted(), ends(0.31)
    believing = posterior.believing(pending)
    before, after = posterior.predict(pending), believing.predict(pending)
    assert after[0] == pytest.approx(before[0], abs=0.02)
    assert after[1] < before[1]
    assert posterior.believing(ends()) is posterior


def test_believing_equals_conditioning_on_all_at_once() -> None:
    posterior, pending, elsewhere = fitted(), ends(0.31, 0.77), ends(0.1, 0.5, 0.8)
    believing = posterior.believing(pending)
    inverse = np.linalg.inv(
        posterior.kernel.between(believing.rounds, believing.rounds)
        + posterior.kernel.noise * np.eye(len(believing.rounds))
    )
    across = posterior.kernel.between(elsewhere, believing.rounds)
    mean, std = believing.predict(elsewhere)
    assert mean == pytest.approx(across @ inverse @ believing.scores, abs=1e-6)
    variance = posterior.kernel.variance - np.einsum("ij,jk,ik->i", across, inverse, across)
    assert std == pytest.approx(np.sqrt(variance), abs=1e-5)


def test_expected_improvement_agrees_with_monte_carlo() -> None:
    mean, std = fitted().predict(ends(0.35, 0.9))
    best = float(mean.max())
    draws = np.random.default_rng(0).normal(mean, std, size=(200_000, 2))
    by_draws = np.maximum(draws - best, 0).mean(axis=0)
    assert expected_improvement(mean, std, best) == pytest.approx(by_draws, rel=0.03, abs=1e-4)


def test_hyperparameters_are_fitted_only_if_asked() -> None:
    prior = CurveKernel.prior(1)
    assert fitted(tuned=False).kernel.theta.tolist() == prior.theta.tolist()
    deviation = (fitted().kernel.theta - prior.theta) / prior.prior_std
    assert 0 < np.abs(deviation).max() < 5


def test_fidelity_is_the_logarithm_of_the_round() -> None:
    assert fidelity([1, 3, 9], 9).tolist() == pytest.approx([0, 0.5, 1])
    assert fidelity([1], 1).tolist() == [0]


def test_a_curve_is_extrapolated_better_for_its_own_trial_than_for_a_new_one() -> None:
    """What a trial has beside its neighbours lasts to its last round."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=20)
    trials = np.repeat(np.arange(20), 3)
    rounds = Rounds(np.full((60, 1), 0.5), np.tile([0, 0.5, 1], 20), trials)
    values = luck[trials] + rounds.fidelity + 0.01 * rng.normal(size=60)
    posterior = CurvePosterior.fit(rounds, values, CurveKernel.prior(1), tune=True)
    best = int(luck.argmax())
    ends = Rounds(np.full((2, 1), 0.5), np.ones(2), np.array([best, NO_TRIAL]))
    mean, std = posterior.predict(ends)
    assert mean[0] > mean[1]
    assert std[0] < 0.3 * std[1]
