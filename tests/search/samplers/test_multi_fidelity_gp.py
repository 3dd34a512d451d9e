from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from search.samplers import MultiFidelitySampler
from search.samplers.multi_fidelity_gp import MAX_CURVES, STARTUP_TRIALS

SPACE: dict[str, BaseDistribution] = {
    "backbone": CategoricalDistribution(["a", "b"]),
    "unfreeze": FloatDistribution(0, 1),
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
}


def run_study(
    curve: Callable[[optuna.Trial], list[float]],
    *,
    end: TrialState = TrialState.PRUNED,
    direction: Literal["maximize", "minimize"] = "maximize",
    trials: int = 40,
    seed: int = 0,
) -> list[optuna.Trial]:
    """Trials of a study, each with its curve; one without an epoch fails."""
    study = optuna.create_study(
        direction=direction, sampler=MultiFidelitySampler(seed=seed, max_rounds=4)
    )
    asked = []
    for _ in range(trials):
        trial = study.ask(SPACE)
        values = curve(trial)
        for epoch, value in enumerate(values, start=1):
            trial.report(value, epoch)
        state = end if values else TrialState.FAIL
        study.tell(trial, values[-1] if state is TrialState.COMPLETE else None, state=state)
        asked.append(trial)
    return asked


def score(trial: optuna.Trial) -> float:
    """Score of a point: highest, 0.9, at a third of backbone b."""
    return 0.9 - abs(trial.params["unfreeze"] - 0.33) - 0.1 * (trial.params["backbone"] == "a")


def late_regret(trials: list[optuna.Trial]) -> float:
    """Mean distance from the best score, over the later half of the trials."""
    return float(np.mean([0.9 - score(trial) for trial in trials[len(trials) // 2 :]]))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sampler_learns_even_if_all_trials_were_stopped(sign: int) -> None:
    direction: Literal["maximize", "minimize"] = "maximize" if sign == 1 else "minimize"
    trials = run_study(lambda trial: [sign * score(trial)], direction=direction)
    assert late_regret(trials) < 0.5 * late_regret(run_study(lambda trial: [0.5]))


def test_the_last_epoch_of_a_trial_counts_more_than_its_first() -> None:
    """Shallow trials begin well and stay there; deep ones begin badly and end best."""

    def curve(trial: optuna.Trial) -> list[float]:
        depth = trial.params["unfreeze"]
        whole = [0.6 - 0.3 * depth, 0.6, 0.6 + 0.2 * depth, 0.6 + 0.3 * depth]
        return whole if trial.number % 3 == 0 else whole[:1]

    late = [trial.params["unfreeze"] for trial in run_study(curve)[20:]]
    assert np.mean(late) > 0.7


def slow_or_fast(trial: optuna.Trial) -> list[float]:
    """Backbone b begins worse and ends better. Two of three are stopped after an epoch."""
    rises = 0.1 if trial.params["backbone"] == "a" else 0.5
    end = 0.6 + rises / 2 - abs(trial.params["unfreeze"] - 0.33)
    whole = [end - rises * 0.5**epoch for epoch in range(4)]
    return whole if trial.number % 3 == 0 else whole[:1]


def learn(study: optuna.Study) -> None:
    """Run thirty trials to their end, two of three for one epoch."""
    for _ in range(30):
        trial = study.ask(SPACE)
        for epoch, value in enumerate(slow_or_fast(trial), start=1):
            trial.report(value, epoch)
        study.tell(trial, state=TrialState.PRUNED)


def study_with_a_running_trial(
    params: dict[str, object],
) -> tuple[MultiFidelitySampler, optuna.Study, optuna.Trial]:
    """A running trial at a point, in a study of thirty that have finished."""
    sampler = MultiFidelitySampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    learn(study)
    study.enqueue_trial(params)
    return sampler, study, study.ask(SPACE)


def test_a_slow_learner_could_win_and_a_worse_similar_trial_could_not() -> None:
    point: dict[str, object] = {"backbone": "b", "unfreeze": 0.33, "learning_rate": 1e-3}
    sampler, study, trial = study_with_a_running_trial(point)
    value = slow_or_fast(trial)[0]
    fast = [t.intermediate_values[1] for t in study.trials[:-1] if t.params["backbone"] == "a"]
    assert value < max(fast)
    assert sampler.could_win(study, trial.number, 1, value)
    sampler, study, trial = study_with_a_running_trial({**point, "unfreeze": 1.0})
    assert not sampler.could_win(study, trial.number, 1, slow_or_fast(trial)[0])


def test_no_trial_could_win_while_too_few_have_a_value() -> None:
    sampler = MultiFidelitySampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(STARTUP_TRIALS):
        trial = study.ask(SPACE)
        assert not sampler.could_win(study, trial.number, 1, 0.9)
        trial.report(0.5, 1)


def test_no_trial_could_win_in_a_space_of_one_point() -> None:
    sampler = MultiFidelitySampler(seed=0, max_rounds=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(2 * STARTUP_TRIALS):
        trial = study.ask({})
        assert not sampler.could_win(study, trial.number, 1, 0.9)
        trial.report(0.5, 1)


def test_points_stay_random_while_all_trials_fail() -> None:
    trials = run_study(lambda trial: [], trials=3 * STARTUP_TRIALS)
    assert len({trial.params["unfreeze"] for trial in trials}) == len(trials)


def test_the_sampler_avoids_points_where_trials_fail() -> None:
    def fast(trial: optuna.Trial) -> bool:
        return bool(trial.params["learning_rate"] > 1e-3)

    def late(curve: Callable[[optuna.Trial], list[float]]) -> int:
        trials = [trial for seed in range(3) for trial in run_study(curve, seed=seed)[20:]]
        return sum(map(fast, trials))

    without_failures = late(lambda trial: [score(trial)])
    assert late(lambda trial: [] if fast(trial) else [score(trial)]) < 0.6 * without_failures


def test_points_of_running_trials_are_not_proposed_again() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_rounds=4)
    )
    for _ in range(20):
        trial = study.ask(SPACE)
        trial.report(score(trial), 1)
        study.tell(trial, state=TrialState.PRUNED)
    points = [tuple(study.ask(SPACE).params.values()) for _ in range(6)]
    assert len(set(points)) == 6


def test_a_parameter_is_learnt_even_if_some_points_lack_it() -> None:
    """A given initial point may lie outside the space, and then lacks one."""
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_rounds=4)
    )
    few = {name: dist for name, dist in SPACE.items() if name != "unfreeze"}
    study.tell(study.ask(few), 0.5)
    trials = []
    for _ in range(40):
        trial = study.ask(SPACE)
        trial.report(score(trial), 1)
        study.tell(trial, state=TrialState.PRUNED)
        trials.append(trial)
    assert late_regret(trials) < 0.5 * late_regret(run_study(lambda trial: [0.5]))


def test_sampling_goes_on_when_every_point_of_the_space_was_tried() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_rounds=4)
    )
    space = {"backbone": CategoricalDistribution(["a", "b", "c"])}
    for _ in range(3 * STARTUP_TRIALS):
        trial = study.ask(space)
        trial.report(0.9 if trial.params["backbone"] == "a" else 0.5, 1)
        study.tell(trial, state=TrialState.PRUNED)
    assert {trial.params["backbone"] for trial in study.trials} == {"a", "b", "c"}


def test_points_are_random_before_any_trial_has_a_value() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_rounds=4)
    )
    depths = [study.ask(SPACE).params["unfreeze"] for _ in range(STARTUP_TRIALS + 2)]
    assert len(set(depths)) == len(depths)


def test_the_sampler_learns_from_more_trials_than_it_fits_while_many_run() -> None:
    study = optuna.create_study(
        direction="maximize", sampler=MultiFidelitySampler(seed=0, max_rounds=4)
    )
    trials = []
    for number in range(3 * MAX_CURVES):
        trial = study.ask(SPACE)
        trial.report(score(trial), 1)
        if number % 2:
            study.tell(trial, state=TrialState.PRUNED)
        trials.append(trial)
    assert late_regret(trials) < 0.5 * late_regret(run_study(lambda trial: [0.5]))


def test_the_sampler_is_reproducible_by_its_seed() -> None:
    first, again = (
        [t.params for t in run_study(lambda t: [score(t)], trials=20)] for _ in range(2)
    )
    assert first == again


def test_optuna_has_the_sampler_read_the_study_before_it_asks_for_a_point() -> None:
    """`sample_relative` relies on that order, which Optuna does not document."""
    calls: list[str] = []

    class Recording(MultiFidelitySampler):
        def infer_relative_search_space(self, *args: Any) -> dict[str, BaseDistribution]:
            calls.append("read")
            return super().infer_relative_search_space(*args)

        def sample_relative(self, *args: Any) -> dict[str, Any]:
            calls.append("propose")
            return super().sample_relative(*args)

    study = optuna.create_study(sampler=Recording(seed=0, max_rounds=4))
    for _ in range(3):
        study.ask(SPACE)
    assert calls == ["read", "propose"] * 3, f"in Optuna {optuna.__version__}"
