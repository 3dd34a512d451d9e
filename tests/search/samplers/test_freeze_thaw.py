from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution

from search.samplers import FreezeThawSampler
from search.samplers.freeze_thaw import SPACING
from search.samplers.multi_fidelity_gp import STARTUP_TRIALS
from tests.search.samplers.test_multi_fidelity_gp import SPACE, learn, score, slow_or_fast


def learnt_study() -> tuple[FreezeThawSampler, optuna.Study]:
    """A study of thirty trials that have finished."""
    sampler = FreezeThawSampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    learn(study)
    return sampler, study


def begun_at(study: optuna.Study, **params: object) -> optuna.Trial:
    """A trial at a point, of which one epoch is recorded."""
    study.enqueue_trial({"learning_rate": 1e-3, **params})
    trial = study.ask(SPACE)
    trial.report(slow_or_fast(trial)[0], 1)
    return trial


def goes_on(
    sampler: FreezeThawSampler, study: optuna.Study, trial: optuna.Trial, **given: Any
) -> bool | None:
    value = study.trials[trial.number].intermediate_values[1]
    fields: dict[str, Any] = {"rounds": 1, "value": value, "paused": []}
    return sampler.should_go_on(study, trial.number, **{**fields, **given})


def test_a_slow_learner_goes_on_and_a_worse_similar_trial_does_not() -> None:
    sampler, study = learnt_study()
    fast = [t.intermediate_values[1] for t in study.trials if t.params["backbone"] == "a"]
    good = begun_at(study, backbone="b", unfreeze=0.33)
    assert slow_or_fast(good)[0] < max(fast)
    assert goes_on(sampler, study, good)
    assert not goes_on(sampler, study, begun_at(study, backbone="b", unfreeze=1.0), paused=[30])


def test_a_worker_goes_on_with_the_best_paused_trial() -> None:
    sampler, study = learnt_study()
    bad = begun_at(study, backbone="a", unfreeze=1.0)
    good = begun_at(study, backbone="b", unfreeze=0.33)
    both = [bad.number, good.number]
    chosen = {sampler.trial_to_resume(study, both) for _ in range(10)}
    assert chosen <= {good.number, None}, "None: a new point"
    assert good.number in chosen
    assert sampler.trial_to_resume(study, []) is None


def test_a_point_that_is_better_than_every_paused_trial_comes_next() -> None:
    sampler, study = learnt_study()
    bad = begun_at(study, backbone="a", unfreeze=1.0)
    assert sampler.trial_to_resume(study, [bad.number]) is None
    assert score(study.ask(SPACE)) > score(bad)


def test_new_points_keep_a_distance_from_those_that_were_tried() -> None:
    square = {name: FloatDistribution(0, 1) for name in ("x", "y")}
    study = optuna.create_study(sampler=FreezeThawSampler(seed=0, max_rounds=4))
    points: list[list[float]] = []
    for n in range(30):
        trial = study.ask(square)
        point = [trial.params["x"], trial.params["y"]]
        if n > STARTUP_TRIALS:
            nearest = np.linalg.norm(np.array(points) - point, axis=1).min()
            assert nearest >= SPACING / np.sqrt(n)
        points.append(point)
        trial.report(float(np.hypot(point[0] - 0.3, point[1] - 0.6)), 1)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)


def test_a_point_is_proposed_next_to_a_tried_one_if_all_are() -> None:
    """A new value counts as new even where the space has no room for `SPACING`."""
    study = optuna.create_study(sampler=FreezeThawSampler(seed=0, max_rounds=4))
    proposed = []
    for _ in range(STARTUP_TRIALS + 20):
        trial = study.ask({"k": optuna.distributions.IntDistribution(1, 60)})
        proposed.append(trial.params["k"])
        trial.report(abs(proposed[-1] - 20), 1)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    after = proposed[STARTUP_TRIALS:]
    assert len(set(after)) == len(after)
    assert not set(after) & set(proposed[:STARTUP_TRIALS])
    assert 20 in after


def test_a_worker_that_may_not_begin_a_point_gets_the_best_paused_trial() -> None:
    sampler, study = learnt_study()
    bad = begun_at(study, backbone="a", unfreeze=1.0)
    assert sampler.trial_to_resume(study, [bad.number], or_begin=False) == bad.number
    good = begun_at(study, backbone="b", unfreeze=0.33)
    both = [bad.number, good.number]
    assert sampler.trial_to_resume(study, both, or_begin=False) == good.number
    assert goes_on(sampler, study, good, paused=[bad.number], or_begin=False)
    assert not goes_on(sampler, study, bad, paused=[good.number], or_begin=False)


def test_it_cannot_be_told_who_goes_on_while_too_few_have_a_value() -> None:
    sampler = FreezeThawSampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(STARTUP_TRIALS):
        trial = study.ask(SPACE)
        trial.report(0.5, 1)
        assert goes_on(sampler, study, trial) is None


def test_it_cannot_be_told_who_goes_on_in_a_space_of_one_point() -> None:
    sampler = FreezeThawSampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(2 * STARTUP_TRIALS):
        trial = study.ask({})
        trial.report(0.5, 1)
        assert goes_on(sampler, study, trial) is None
