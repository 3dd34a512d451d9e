"""Private parts of Ray that the search needs, in one place.

Ray may change any of them without notice: ``tests/search/tuning/test_ray_internals.py`` says which
version was tried.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule


def give_trials_waiting_workers() -> None:
    """Have Tune's actors start in the workers that Ray has waiting, which have torch imported.

    Tune gives its actors an environment of one variable, for PyTorch Lightning alone, and Ray
    starts a new worker for every environment: the first result came 5 s later.
    """
    class_cache.DEFAULT_ENV_VARS = {}


def forget_metric_history(trial: Trial) -> None:
    """Drop the running means of each metric that Tune keeps for ever of an ended trial."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


def error_files(trial: Trial) -> tuple[Path | None, Path | None]:
    """Files that Tune wrote about a failed trial: the pickled exception, and the text."""
    pickled, text = trial.pickled_error_file, trial.error_file
    return (Path(pickled) if pickled else None, Path(text) if text else None)


def bracket_sizes(scheduler: ASHAScheduler) -> Sequence[int]:
    """Number of rungs of each of a scheduler's brackets."""
    return [len(bracket._rungs) for bracket in scheduler._brackets]


def put_into_bracket(scheduler: ASHAScheduler, trial_id: Any, bracket: int) -> None:
    """Assign a trial to a bracket, in place of `ASHAScheduler.on_trial_add`, which draws one."""
    scheduler._trial_info[trial_id] = scheduler._brackets[bracket]


def bracket_chances(sizes: Sequence[int]) -> np.ndarray:
    """Probabilities, ``(brackets,)``, with which Ray draws a trial's bracket: a softmax."""
    rungs = np.asarray(sizes)
    chances = np.exp(rungs - rungs.max())
    return np.asarray(chances / chances.sum())


def allow_stopped_again(rule: MedianStoppingRule, trial: Trial) -> None:
    """Let a median rule hear of a trial that it would have stopped."""
    rule._stopped_trials.discard(trial)
