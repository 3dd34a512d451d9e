"""Training speed of a trial, measured before the search begins."""

from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError

from search.config import WHOLE_EPOCHS
from search.trial import TrialJob
from search.tuning.gpu_allocation import Resources
from spaces import RunError, TrialParams
from trainables.process import configure_process

_BATCHES = 2
"""Number of batches of each of two epochs; the second is timed."""


def measure_training_speed(
    job: TrialJob, resources: Resources, params: TrialParams, *, in_this_process: bool = False
) -> float:
    """Training images per second of a trial that reads no stored features, after its first steps.

    It is measured on a worker of the cluster or ``in_this_process``, which takes no worker from the
    first trials. The trial has the resources of one whose memory is not measured yet: on a GPU, all
    of it. Raises `RunError` if it fails.
    """
    params = params.model_copy(update={"head_start": "zero"})
    threads = max(1, int(resources.cpus))
    on_a_worker: Any = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_calls=1)
    try:
        if in_this_process:
            return _training_speed(job, params, threads)
        speed: float = ray.get(on_a_worker(_training_speed).remote(job, params, threads))
    except (RayError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(
            f"The speed of training could not be measured ({reason}). Repair the cause, or give "
            "--round-images, and --max-epochs with a time budget."
        ) from error
    return speed


def _training_speed(job: TrialJob, params: TrialParams, threads: int) -> float:
    configure_process(threads=threads)
    settings = job.config.model_copy(update={"features": "off", "folds": 0})
    uncached = replace(job, config=settings, rounds=WHOLE_EPOCHS)
    tuning = uncached.begin(params, images=_BATCHES * params.batch_size)
    tuning.run_round()
    return tuning.run_round().images_per_second
