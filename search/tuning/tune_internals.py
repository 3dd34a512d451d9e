"""Private or undocumented parts of Ray Tune that the search needs, in one place.

Ray may change any of them without notice. ``tests/search/tuning/test_tune_internals.py`` names the
version that they were tested with.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule
from ray.tune.utils.object_cache import _ObjectCache


def reuse_prestarted_workers() -> None:
    """Let Tune's actors run in Ray's prestarted workers, which import torch while they wait.

    By default Tune gives actors a ``runtime_env`` with one variable, for PyTorch Lightning. So
    Ray starts a new worker for each actor. This delayed the first result by 5 s on two cores.
    Variables that Tune propagates from the driver, such as AWS keys, still force new workers.
    """
    class_cache.DEFAULT_ENV_VARS = {}


def kill_trials_that_are_not_needed() -> None:
    """Let Tune kill an actor that it has no more use for.

    By default Tune waits until the actor's round has ended, at the end of a run for 15 s at most,
    and drops the round's result. These seconds are missing in a time budget, and after Ctrl-C.
    """
    TuneController._remove_actor = _kill_actor  # type: ignore[assignment, method-assign]


def _kill_actor(controller: Any, tracked_actor: Any) -> None:
    controller._actor_manager.remove_actor(tracked_actor, kill=True)


def keep_actors_for_later_trials() -> None:
    """Let Tune keep the actors of ended trials as long as no trial waits for an actor.

    By default Tune keeps one of them and kills the others, even if the searcher has more trials
    later. So all workers but one imported torch again before the repeats at the end of a search.
    """
    _ObjectCache.cache_object = _keep_actor  # type: ignore[assignment, method-assign]
    _ObjectCache.flush_cached_objects = _actors_to_kill  # type: ignore[assignment, method-assign]


_KEEP_ACTOR, _ACTORS_TO_KILL = _ObjectCache.cache_object, _ObjectCache.flush_cached_objects
"""Ray's own methods."""


def _keep_actor(cache: Any, resources: Any, actor: Any) -> bool:
    if cache.total_max_objects:  # trials wait for actors
        return bool(_KEEP_ACTOR(cache, resources, actor))
    cache._cached_objects[resources].append(actor)
    cache._num_cached_objects += 1
    return True


def _actors_to_kill(cache: Any, force_all: bool = False) -> Iterator[Any]:
    if force_all or cache.total_max_objects:
        yield from _ACTORS_TO_KILL(cache, force_all)


def forget_metric_history(trial: Trial) -> None:
    """Drop the statistics of each metric, which Tune keeps even after a trial has ended."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def error_files(trial: Trial) -> tuple[Path | None, Path | None]:
    """Files that Tune wrote about a failed trial: the pickled exception, and the text."""
    pickled, text = trial.pickled_error_file, trial.error_file
    return (Path(pickled) if pickled else None, Path(text) if text else None)


def rungs_per_bracket(scheduler: ASHAScheduler) -> Sequence[int]:
    """Number of rungs in each bracket of a scheduler."""
    return [len(bracket._rungs) for bracket in scheduler._brackets]


def compare_with_several(scheduler: ASHAScheduler) -> None:
    """Let a rung stop no trial before it has as many scores as its reduction factor.

    One trial in so many is promoted, so of fewer scores none can be said to be too low. Ray stops
    every trial that reaches a rung second with a lower score than the first.
    """
    for bracket in scheduler._brackets:
        bracket.cutoff = partial(_cutoff_of_several, bracket)  # type: ignore[method-assign]


def _cutoff_of_several(bracket: Any, scores: Mapping[Any, float]) -> float | None:
    """Ray's score below which a trial is stopped; None while there are too few scores."""
    if len(scores) < bracket.rf:
        return None
    cutoff: float | None = type(bracket).cutoff(bracket, scores)
    return cutoff


def put_into_bracket(scheduler: ASHAScheduler, trial_id: Any, bracket: int) -> None:
    """Assign a trial to a bracket, in place of `ASHAScheduler.on_trial_add`, which draws one."""
    scheduler._trial_info[trial_id] = scheduler._brackets[bracket]


def bracket_probabilities(rung_counts: Sequence[int]) -> np.ndarray:
    """Ray's probability of each bracket, ``(brackets,)``: a softmax of the rung counts."""
    rungs = np.asarray(rung_counts)
    chances = np.exp(rungs - rungs.max())
    return np.asarray(chances / chances.sum())


def forget_stop(rule: MedianStoppingRule, trial: Trial) -> None:
    """Make a rule forget that it stopped a trial, so that it accepts more results of the trial."""
    rule._stopped_trials.discard(trial)
