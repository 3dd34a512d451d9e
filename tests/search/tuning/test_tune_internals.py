"""Guards: the private parts of Ray Tune that the search uses are still there."""

from inspect import signature
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

from search.tuning.tune_internals import (
    bracket_probabilities,
    forget_stop,
    put_into_bracket,
    rungs_per_bracket,
)

TRIED = "2.60.0"
MOVED = (
    f"a private part of Ray that Finesweep uses (tried with {TRIED}) has moved in {ray.__version__}"
)


def test_tune_reads_the_actors_environment_from_one_place() -> None:
    assert isinstance(class_cache.DEFAULT_ENV_VARS, dict), MOVED


def test_tune_removes_an_actor_in_one_place() -> None:
    assert list(signature(TuneController._remove_actor).parameters)[1] == "tracked_actor", MOVED
    assert "kill" in signature(RayActorManager.remove_actor).parameters, MOVED


def test_rays_trial_keeps_a_history_of_metrics_and_error_files() -> None:
    trial = Trial("stub", stub=True)
    assert isinstance(trial.run_metadata.metric_analysis, dict), MOVED
    assert isinstance(trial.run_metadata.metric_n_steps, dict), MOVED
    assert isinstance(Trial.pickled_error_file, property), MOVED
    assert isinstance(Trial.error_file, property), MOVED


def test_a_trial_goes_into_the_bracket_that_was_drawn() -> None:
    scheduler = ASHAScheduler("epoch", "score", "max", max_t=9, grace_period=1, brackets=2)
    assert rungs_per_bracket(scheduler) == [2, 1], MOVED
    put_into_bracket(scheduler, 7, 1)
    assert scheduler._trial_info[7] is scheduler._brackets[1], MOVED
    assert bracket_probabilities([2, 1]) == pytest.approx([0.7311, 0.2689], abs=1e-4)


def test_a_median_rule_remembers_which_trials_it_stopped() -> None:
    rule = MedianStoppingRule("epoch", "score", "max")
    trial: Any = SimpleNamespace(trial_id="a")
    rule._stopped_trials.add("a")
    forget_stop(rule, "a")  # type: ignore[arg-type]
    assert trial.trial_id not in rule._stopped_trials, MOVED
