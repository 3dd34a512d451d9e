"""Guards: the private parts of Ray Tune that the search uses are still there."""

import os
import time
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule
from ray.tune.search import Searcher

from search.tuning.ray_environment import configure_tune
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


class _Waits(Searcher):
    """Two trials at a time; the next two begin when both have ended."""

    def __init__(self, folder: Path) -> None:
        super().__init__(metric="process", mode="max")
        self._folder, self._begun, self._running = folder, 0, 0

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        if self._running and self._begun % 2 == 0:
            return None
        if self._begun == 4:
            return Searcher.FINISHED
        pair = self._folder / str(self._begun // 2)
        pair.mkdir(exist_ok=True)
        self._begun, self._running = self._begun + 1, self._running + 1
        return {"pair": pair}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self._running -= 1


class _Meets(tune.Trainable):
    """A trial that names its process, as soon as the other of its pair runs, too."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._pair: Path = new_config["pair"]
        return True

    def step(self) -> dict[str, Any]:
        (self._pair / str(os.getpid())).touch()
        while len([*self._pair.iterdir()]) < 2:
            time.sleep(0.05)
        return {"process": os.getpid(), "done": True}


def test_trials_that_begin_after_all_others_have_ended_run_in_the_same_processes(
    ray_cluster: None, tmp_path: Path
) -> None:
    configure_tune(max_pending_trials=4)
    results = tune.Tuner(
        tune.with_resources(_Meets, {"cpu": 1}),
        tune_config=tune.TuneConfig(search_alg=_Waits(tmp_path), num_samples=-1, reuse_actors=True),
        run_config=tune.RunConfig(
            storage_path=str(tmp_path),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()
    processes = [result.metrics["process"] for result in results if result.metrics]
    assert len(processes) == 4
    assert len(set(processes)) == 2, MOVED


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
