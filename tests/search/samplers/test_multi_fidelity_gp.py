from collections.abc import Callable
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from search.samplers import MultiFidelitySampler
from search.samplers.multi_fidelity_gp import MOST, STARTUP

SPACE: dict[str, BaseDistribution] = {
    "backbone": CategoricalDistribution(["a", "b"]),
    "unfreeze": FloatDistribution(0, 1),
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
}


def asked(
    curve: Callable[[optuna.Trial], list[float]],
    *,
    end: TrialState = TrialState.PRUNED,
    direction: Literal["maximize", "minimize"] = "maximize",
    trials: int = 40,
    seed: int = 0,
) -> list[optuna.Trial]:
    """Trials of a study, each with its curve; one without an epoch has failed."""
    study = optuna.create_study(
        direction=direction, sampler=MultiFidelitySampler(seed=seed, max_epochs=4)
    )
    made = []
    for _ in range(trials):
        trial = study.ask(SPACE)
        values = curve(trial)
        for epoch, value in enumerate(values, start=1):
            trial.report(value, epoch)
        state = end if values else TrialState.FAIL
        study.tell(trial, values[-1] if state is TrialState.COMPLETE else None, state=state)
        made.append(trial)
    return made


def good(trial: optuna.Trial) -> float:
    """Best at a third of backbone b."""
    return 0.9 - abs(trial.params["unfreeze"] - 0.33) - 0.1 * (trial.params["backbone"] == "a")


def miss(trials: list[optuna.Trial]) -> float:
    """Of the later half, in the mean."""
    return float(np.mean([0.9 - good(trial) for trial in trials[len(trials) // 2 :]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_it_learns_from_trials_that_were_all_stopped(sign: int) -> None:
    direction: Literal["maximize", "minimize"] = "maximize" if sign == 1 else "minimize"
    found = asked(lambda trial: [sign * good(trial)], direction=direction)
    assert miss(found) < 0.5 * miss(asked(lambda trial: [0.5]))


def test_what_a_trial_comes_to_counts_more_than_how_it_begins() -> None:
    """Shallow trials begin well and stay there; deep ones begin badly and end best."""

    def curve(trial: optuna.Trial) -> list[float]:
        depth = trial.params["unfreeze"]
        whole = [0.6 - 0.3 * depth, 0.6, 0.6 + 0.2 * depth, 0.6 + 0.3 * depth]
        return whole if trial.number % 3 == 0 else whole[:1]

    late = [trial.params["unfreeze"] for trial in asked(curve)[20:]]
    assert np.mean(late) > 0.7


def slow_or_fast(trial: optuna.Trial) -> list[float]:
    """Backbone b begins worse and ends better. Two of three are stopped after an epoch."""
    rises = 0.1 if trial.params["backbone"] == "a" else 0.5
    end = 0.6 + rises / 2 - abs(trial.params["unfreeze"] - 0.33)
    whole = [end - rises * 0.5**epoch for epoch in range(4)]
    return whole if trial.number % 3 == 0 else whole[:1]


def begun(params: dict[str, object]) -> tuple[MultiFidelitySampler, optuna.Study, optuna.Trial]:
    """A trial that runs beside thirty that have ended."""
    sampler = MultiFidelitySampler(seed=0, max_epochs=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(30):
        trial = study.ask(SPACE)
        for epoch, value in enumerate(slow_or_fast(trial), start=1):
            trial.report(value, epoch)
        study.tell(trial, state=TrialState.PRUNED)
    study.enqueue_trial(params)
    return sampler, study, study.ask(SPACE)


def test_a_slow_trial_may_yet_lead_and_one_that_is_alike_and_worse_may_not() -> None:
    point: dict[str, object] = {"backbone": "b", "unfreeze": 0.33, "learning_rate": 1e-3}
    sampler, study, trial = begun(point)
    value = slow_or_fast(trial)[0]
    fast = [t.intermediate_values[1] for t in study.trials[:-1] if t.params["backbone"] == "a"]
    assert value < max(fast)
    assert sampler.may_lead(study, trial.number, 1, value)
    sampler, study, trial = begun({**point, "unfreeze": 1.0})
    assert not sampler.may_lead(study, trial.number, 1, slow_or_fast(trial)[0])


def test_of_what_little_is_known_nothing_leads() -> None:
    sampler = MultiFidelitySampler(seed=0, max_epochs=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(STARTUP):
        trial = study.ask(SPACE)
        assert not sampler.may_lead(study, trial.number, 1, 0.9)
        trial.report(0.5, 1)


def test_in_a_space_of_one_point_nothing_leads() -> None:
    sampler = MultiFidelitySampler(seed=0, max_epochs=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(2 * STARTUP):
        trial = study.ask({})
        assert not sampler.may_lead(study, trial.number, 1, 0.9)
        trial.report(0.5, 1)


def test_trials_that_all_fail_before_an_epoch_teach_nothing() -> None:
    trials = asked(lambda trial: [], trials=3 * STARTUP)
    assert len({trial.params["unfreeze"] for trial in trials}) == len(trials)


def test_it_keeps_away_from_where_trials_fail() -> None:
    def fast(trial: optuna.Trial) -> bool:
        return bool(trial.params["learning_rate"] > 1e-3)

    def late(curve: Callable[[optuna.Trial], list[float]]) -> int:
        found = [trial for seed in range(3) for trial in asked(curve, seed=seed)[20:]]
        return sum(map(fast, found))

    as_ever = late(lambda trial: [good(trial)])
    assert late(lambda trial: [] if fast(trial) else [good(trial)]) < 0.6 * as_ever


def test_trials_that_run_at_once_are_not_all_at_one_point() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_epochs=4)
    )
    for _ in range(20):
        trial = study.ask(SPACE)
        trial.report(good(trial), 1)
        study.tell(trial, state=TrialState.PRUNED)
    points = [tuple(study.ask(SPACE).params.values()) for _ in range(6)]
    assert len(set(points)) == 6


def test_a_point_that_lacks_a_parameter_leaves_it_to_be_learnt() -> None:
    """As one does that was given and lies outside the space."""
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_epochs=4)
    )
    few = {name: dist for name, dist in SPACE.items() if name != "unfreeze"}
    study.tell(study.ask(few), 0.5)
    asked_for = []
    for _ in range(40):
        trial = study.ask(SPACE)
        trial.report(good(trial), 1)
        study.tell(trial, state=TrialState.PRUNED)
        asked_for.append(trial)
    assert miss(asked_for) < 0.5 * miss(asked(lambda trial: [0.5]))


def test_a_space_all_of_which_was_tried_is_no_end() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_epochs=4)
    )
    space = {"backbone": CategoricalDistribution(["a", "b", "c"])}
    for _ in range(3 * STARTUP):
        trial = study.ask(space)
        trial.report(0.9 if trial.params["backbone"] == "a" else 0.5, 1)
        study.tell(trial, state=TrialState.PRUNED)
    assert {trial.params["backbone"] for trial in study.trials} == {"a", "b", "c"}


def test_before_anything_is_known_points_are_drawn() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_epochs=4)
    )
    depths = [study.ask(SPACE).params["unfreeze"] for _ in range(STARTUP + 2)]
    assert len(set(depths)) == len(depths)


def test_it_learns_as_well_from_more_trials_than_it_looks_at_beside_many_that_run() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_epochs=4)
    )
    asked_for = []
    for number in range(3 * MOST):
        trial = study.ask(SPACE)
        trial.report(good(trial), 1)
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        asked_for.append(trial)
    assert miss(asked_for) < 0.5 * miss(asked(lambda trial: [0.5]))


def test_it_repeats_itself() -> None:
    first, again = ([t.params for t in asked(lambda t: [good(t)], trials=20)] for _ in range(2))
    assert first == again
