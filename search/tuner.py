"""Assemble Ray Tune, Optuna's study and ASHA, and run the trials."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from search.config import SweepConfig
from search.paths import SweepPaths
from search.progress import LiveLeaderboard
from search.sampler import NUMBER, StudySearcher
from search.study import trial_name
from search.tensorboard import TensorBoardWriter
from search.trial import FineTuneTrial, TrialJob
from spaces import ConfigError, SearchSpace, TrialParams
from trainables.report import METRICS


@dataclass(frozen=True)
class Resources:
    """What each trial holds of the cluster, and how many run at a time."""

    cpus: float
    gpus: float
    concurrent: int


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one on this machine, unless this process has one already.

    Raises `ConfigError` if there is none at ``address``.
    """
    if ray.is_initialized():
        return
    if address == "local":  # its first workers import what trials need while images are read
        os.environ.setdefault("RAY_preload_python_modules", "search.trial")
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError) as error:
        raise ConfigError(
            f"No Ray cluster answers at {address!r} ({str(error).splitlines()[0]}); start one with "
            "'ray start --head' or use --address local."
        ) from None


def fit_resources(config: SweepConfig) -> Resources:
    """Settle what a trial holds on the cluster that `start_ray` found. Raises `ConfigError`."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive]
    gpu = config.gpus_per_trial
    if gpu is None:
        gpu = 1.0 if any(gpus for _, gpus in nodes) else 0.0
    cpu = config.cpus_per_trial
    if cpu is None:
        shares = [cpus / _slots(gpus, gpu) for cpus, gpus in nodes if gpu and gpus]
        share = min(shares, default=1.0)
        cpu = float(int(share)) if share >= 1 else share
    fits = 0
    for cpus, gpus in nodes:
        by_cpu = int(cpus / cpu + 1e-6)
        fits += min(by_cpu, _slots(gpus, gpu)) if gpu else by_cpu
    if fits == 0:
        there = " and ".join(
            f"{cpus:g} CPUs with {gpus:g} GPUs" for cpus, gpus in sorted(set(nodes))
        )
        raise ConfigError(
            f"A trial asks for {cpu:g} CPUs and {gpu:g} GPUs but no machine has both; there are "
            f"{there}; lower cpus_per_trial or gpus_per_trial, or leave them out."
        )
    return Resources(cpu, gpu, min(config.concurrent or fits, fits))


def _slots(gpus: float, share: float) -> int:
    """How many shares fit on a machine's GPUs, none spanning two of them."""
    return int(gpus) * int(1 / share + 1e-6)


def run_trials(
    config: SweepConfig,
    paths: SweepPaths,
    *,
    job: TrialJob,
    space: SearchSpace,
    points: Sequence[TrialParams],
    native_image_size: Mapping[str, int],
    resources: Resources,
) -> None:
    """Run all trials; what they came to is in the journal. Needs a started Ray.

    Ctrl-C ends it early: the trials that ran then stay "running" in the journal.
    """
    np.random.seed(config.seed)  # ASHA draws its brackets from the global generator
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new output prints a banner whatever its verbosity
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(resources.concurrent)
    mode = METRICS[config.metric]
    tuner = tune.Tuner(
        tune.with_resources(
            tune.with_parameters(FineTuneTrial, job=job),
            {"cpu": resources.cpus, "gpu": resources.gpus},
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
