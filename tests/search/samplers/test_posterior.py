import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from search.samplers.learning_curves import LearningCurve
from search.samplers.posterior import Posterior, prior_kernel
from search.samplers.unit_cube import UnitCube

CUBE = UnitCube({"unfreeze": FloatDistribution(0, 1), "backbone": CategoricalDistribution("ab")})
MAX_EPOCHS = 9


def point(unfreeze: float, backbone: str = "a") -> dict[str, object]:
    return {"unfreeze": unfreeze, "backbone": backbone}


def curves(*failures: LearningCurve) -> list[LearningCurve]:
    """Twenty curves that rise by 0.1 and are the higher the nearer their trial is to 0.3."""
    heights = [(unfreeze, 0.9 - abs(unfreeze - 0.3)) for unfreeze in np.linspace(0, 1, 20)]
    return [LearningCurve(point(x), [1, 9], [y - 0.1, y], 0) for x, y in heights] + [*failures]


def fitted(some: list[LearningCurve], *, tuned: bool = True) -> Posterior:
    prior = prior_kernel(CUBE)
    return Posterior.fit(some, CUBE, MAX_EPOCHS, prior, prior=prior if tuned else None)


def test_the_mean_is_highest_where_curves_end_highest() -> None:
    mean, std = fitted(curves()).final_scores_of([point(0.3), point(0.6), point(0.9)])
    assert mean.tolist() == sorted(mean, reverse=True)
    assert (std > 0).all()


def test_a_short_curve_is_extrapolated_from_complete_ones() -> None:
    """A trial that was stopped after epoch 1 is expected to rise as the others did."""
    short = LearningCurve(point(0.31, "b"), [1], [0.8], 1)
    posterior = fitted(curves(short))
    (mean,), _ = posterior.final_scores_of([short.params])
    after_one_epoch = posterior.process.predict(
        np.column_stack([CUBE.embed(CUBE.encode([short.params])), [0.0]])
    )
    assert mean > after_one_epoch[0]


def test_uncertainty_is_larger_far_from_every_trial() -> None:
    near = [LearningCurve(point(x), [9], [0.5 + x], 0) for x in np.linspace(0, 0.1, 12)]
    _, std = fitted(near).final_scores_of([point(0.05), point(1.0)])
    assert std[0] < std[1]


def test_a_failed_trial_does_not_flatten_the_others() -> None:
    """Minus infinity is clipped to a floor before values are standardized."""
    failure = LearningCurve(point(0.95), [1, 2], [0.1, -math.inf], 1)
    mean, _ = fitted(curves(failure)).final_scores_of([point(0.3), point(0.5), point(0.95)])
    assert np.isfinite(mean).all()
    assert mean[0] > mean[1] > mean[2]


def test_a_fantasy_keeps_the_mean_and_removes_the_uncertainty_at_a_pending_point() -> None:
    posterior, pending = fitted(curves()), [point(0.3, "b")]
    fantasy = posterior.fantasize(pending)
    before, after = posterior.final_scores_of(pending), fantasy.final_scores_of(pending)
    assert after[0] == pytest.approx(before[0], abs=0.02)
    assert after[1] < before[1]
    assert fantasy.kernel.theta.tolist() == posterior.kernel.theta.tolist()
    assert posterior.fantasize([]) is posterior


def test_expected_improvement_agrees_with_monte_carlo() -> None:
    posterior, codes = fitted(curves()), CUBE.encode([point(0.35), point(0.9, "b")])
    mean, std = posterior.final_scores(codes)
    incumbent = float(mean.max())
    draws = np.random.default_rng(0).normal(mean, std, size=(200_000, 2))
    by_draws = np.maximum(draws - incumbent, 0).mean(axis=0)
    gains = posterior.expected_improvement(codes, incumbent)
    assert gains == pytest.approx(by_draws, rel=0.03)


def test_hyperparameters_are_fitted_only_with_a_prior_and_stay_near_it() -> None:
    prior = prior_kernel(CUBE)
    assert fitted(curves(), tuned=False).kernel.theta.tolist() == prior.theta.tolist()
    *others, noise = np.abs(fitted(curves()).kernel.theta - prior.theta)
    assert 0 < max(others) < 2, "the prior's standard deviation is 1"
    assert noise > 2, "these curves have none, which outweighs the prior"


def test_scikit_learns_gaussian_process_has_the_attributes_that_conditioning_reads() -> None:
    """They are scikit-learn's documented ones; the last holds for the sum in `prior_kernel`."""
    process = fitted(curves(), tuned=False).process
    assert process.X_train_.shape == (40, CUBE.embedded_size + 1)
    assert process.y_train_.shape == (40,)
    assert process.kernel_.k2.noise_level == pytest.approx(0.1)
