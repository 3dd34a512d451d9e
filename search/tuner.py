"""Assemble Ray Tune, Optuna's study and ASHA, and run the trials."""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from search.config import SweepConfig
from search.paths import SweepPaths
from search.progress import LiveLeaderboard
from search.resources import Resources
from search.sampler import StudySearcher
from search.study import trial_name
from search.tensorboard import TensorBoardWriter
from search.trial import NUMBER, PARAMS, FineTuneTrial, TrialJob
from spaces import SearchSpace, TrialParams
from trainables.report import METRICS


def run_trials(
    job: TrialJob,
    paths: SweepPaths,
    *,
    space: SearchSpace,
    points: Sequence[TrialParams],
    native_image_size: Mapping[str, int],
    resources: Resources,
) -> None:
    """Run all trials; what they came to is in the journal. Needs a started Ray.

    Ctrl-C ends it early: the trials that ran then stay "running" in the journal.
    """
    config = job.config
    np.random.seed(config.seed)  # ASHA draws its brackets from the global generator
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner whatever its verbosity
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(resources.concurrent)
    # Tune gives its actors an environment of one variable, for PyTorch Lightning alone, and Ray
    # hands a waiting worker only to those that have none: the first result came 5 s later.
    class_cache.DEFAULT_ENV_VARS = {}
    mode = METRICS[config.metric]
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(FineTuneTrial, job=job),
            lambda drawn: resources.of(drawn[PARAMS]),
        ),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(
                paths,
                space,
                points=points,
                native_image_size=native_image_size,
                metric=config.metric,
                seed=config.seed,
            ),
            scheduler=_scheduler(config, mode),
            num_samples=config.trials,
            max_concurrent_trials=resources.concurrent,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial_name(trial.config[NUMBER]),
            trial_dirname_creator=lambda trial: trial_name(trial.config[NUMBER]),
        ),
        run_config=tune.RunConfig(
            name=paths.ray.name,
            storage_path=str(paths.root),
            callbacks=[
                TensorBoardWriter(paths.tensorboard, space, points, metric=config.metric),
                LiveLeaderboard(
                    trials=config.trials, max_epochs=config.max_epochs, metric=config.metric
                ),
            ],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    tuner.fit()


def _scheduler(config: SweepConfig, mode: str) -> TrialScheduler:
    if config.stopping == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    return ASHAScheduler(
        time_attr="epoch",
        metric=config.metric,
        mode=mode,
        max_t=config.max_epochs,
        grace_period=config.asha.grace_epochs,
        reduction_factor=config.asha.reduction_factor,
    )
