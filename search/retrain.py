"""Train the winner again on train and val, and test it once."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import torch
from ray.exceptions import RayError
from safetensors.torch import save_file
from scipy.special import softmax

from search.final import FinalModel
from search.paths import SweepPaths
from search.program import command
from search.study import TrialRecord
from search.trial import TrialJob
from spaces import RunError
from trainables.dataset import Dataset, majority_share
from trainables.evaluate import logits_of
from trainables.features import Inputs
from trainables.files import write_json, write_whole
from trainables.finetune import FineTuning, finetune
from trainables.insight import WithFeatures
from trainables.metrics import test_metrics
from trainables.model import Preprocessing
from trainables.pixels import ImageSet
from trainables.prefix import whole
from trainables.process import prepare_process

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Refit:
    """A retrained model and its answers to the test images, before anything is written."""

    state: dict[str, torch.Tensor]
    probabilities: np.ndarray
    """``(test images, classes)``."""
    features: np.ndarray
    """``(test images, d)`` float16, what its classifier sees."""


def refit(job: TrialJob, trial: TrialRecord, *, threads: int) -> Refit:
    """Fine-tune a trial's parameters on train and val for its best number of epochs, and test.

    The learning-rate schedule is the trial's, cut off where its best epoch was; augmentation shows
    no view twice. This is the only place that looks at the test images. Raises `RunError` if it
    diverges.
    """
    prepare_process(threads=threads)
    best = trial.best(job.config.metric)
    assert best is not None, "only a trial with a finite epoch can be retrained"
    stated = Preprocessing.of(trial.params.backbone)
    store = job.store_for(trial.params)
    tuning = FineTuning(
        trial.params,
        job.weights_for(trial.params),
        num_classes=len(job.dataset.classes),
        train=ImageSet.of(job.dataset, store, "train", "val"),
        val=None,
        max_epochs=job.config.max_epochs,
        stop_after=best.epoch,
        seed=job.config.seed,
        device=job.device,
        precision=job.config.precision,
        cache=job.config.cache_dir,
        plateau_losses=[report.val_loss for report in trial.reports],
    )
    for report in finetune(tuning):
        _log.info(
            "retraining epoch %d of %d: train_loss %.4f, %.0f s",
            report.epoch,
            best.epoch,
            report.train_loss,
            report.seconds,
        )
        if report.diverged:
            raise RunError(
                f"The loss was no longer finite in epoch {report.epoch} of retraining trial "
                f"{trial.trial_id}; retrain another one with --trial."
            )
    test = ImageSet.of(job.dataset, store, "test")
    telling = WithFeatures(tuning.model)
    together = whole(telling, trial.params.image_size)
    told = logits_of(telling, Inputs(test, together, stated, device=tuning.device))
    logits, features = np.split(told, [len(job.dataset.classes)], axis=1)
    state = {name: t.contiguous().cpu() for name, t in tuning.model.state_dict().items()}
    return Refit(state, softmax(logits, axis=1), features.astype(np.float16))


def retrain(job: TrialJob, trial: TrialRecord, paths: SweepPaths) -> FinalModel:
    """`refit` a trial and write what came of it.

    Runs on a GPU of the cluster if trials did and Ray is up, else here with every core. Raises
    `RunError` if that can't be done.
    """
    if job.on_gpu and ray.is_initialized():
        on_a_gpu: Any = ray.remote(num_gpus=1, max_retries=2)  # of lost workers and machines
        try:
            fitted: Refit = ray.get(on_a_gpu(refit).remote(job, trial, threads=1))
        except RunError:
            raise
        except RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise RunError(
                f"Retraining trial {trial.trial_id} failed ({reason}). The trials are kept; once "
                f"that is mended, go on:  {command('resume', paths)}"
            ) from error
    else:
        fitted = refit(job, trial, threads=os.cpu_count() or 1)
    best = trial.best(job.config.metric)
    assert best is not None
    labels = job.dataset.labels[job.dataset.rows("test")]
    final = FinalModel(
        test=test_metrics(fitted.probabilities, labels, job.dataset.classes),
        majority_accuracy=majority_share(labels.tolist()),
        epochs=best.epoch,
        trial_id=trial.trial_id,
        val_accuracy=best.val_accuracy,
        params=trial.params,
    )
    table = _prediction_table(job.dataset, fitted.probabilities)
    paths.metrics.unlink(missing_ok=True)  # comes back last: its presence says the rest is whole
    write_whole(paths.final_weights, lambda partial: save_file(fitted.state, partial))
    write_whole(paths.predictions, lambda partial: table.to_parquet(partial, index=False))
    write_whole(paths.features, lambda partial: _save(fitted.features, partial))
    write_json(paths.metrics, final.to_dict())
    return final


def _save(features: np.ndarray, file: Path) -> None:
    with file.open("wb") as opened:  # given a name, NumPy adds an ending
        np.save(opened, features)


def _prediction_table(dataset: Dataset, probabilities: np.ndarray) -> pd.DataFrame:
    rows = dataset.rows("test")
    names = np.array(dataset.classes)
    table = pd.DataFrame(
        {
            "path": [dataset.paths[row] for row in rows],
            "label": names[dataset.labels[rows]],
            "predicted": names[probabilities.argmax(axis=1)],
        }
    )
    for k, name in enumerate(dataset.classes):
        table[f"p.{name}"] = probabilities[:, k]
    return table
