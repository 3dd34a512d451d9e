"""Train the winner, or all that the final model is made of, on train and val; test it once."""

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from safetensors.torch import save_file
from scipy.special import softmax

from search.cluster import none_of
from search.final.selection import EnsembleMember, FinalModelSpec
from search.record import FinalModel, Member, SweepPaths, command
from search.trial import TrialJob
from spaces import RunError
from trainables.data import ImageSet, majority_class_share
from trainables.evaluation import Predictions, Rates, test_metrics
from trainables.files import write_atomically, write_json
from trainables.inference import WithFeatures, divide_logits
from trainables.inputs import Inputs
from trainables.models import Preprocessing, unsplit
from trainables.process import configure_process
from trainables.training import EpochReport, FineTuning, finetune, logits_of

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class RetrainedMember:
    """A retrained model and its answers to the test images, before anything is written."""

    state: dict[str, torch.Tensor]
    probabilities: np.ndarray
    """``(test images, classes)``."""
    features: np.ndarray
    """``(test images, d)`` float16, what its classifier sees."""


def retrain_member(job: TrialJob, chosen: EnsembleMember, *, threads: int) -> RetrainedMember:
    """Fine-tune a trial's parameters on train and val for its best number of epochs, and test.

    The learning-rate schedule is the trial's, cut off where its best epoch was; augmentation shows
    no view twice. Raises `RunError` if it diverges.
    """
    return _followed(_retrain_steps(job, chosen, threads=threads), chosen, job.config.metric)


def _retrain_steps(
    job: TrialJob, chosen: EnsembleMember, *, threads: int
) -> Iterator[EpochReport | RetrainedMember]:
    """A report an epoch, then what came of it.

    This is the only place that looks at the test images.
    """
    configure_process(threads=threads)
    trial = chosen.trial
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
        yield report
        if report.diverged:
            raise RunError(
                f"The loss was no longer finite in epoch {report.epoch} of retraining trial "
                f"{trial.trial_id}; retrain another one with --trial."
            )
    divide_logits(tuning.model, chosen.temperature)
    test = ImageSet.of(job.dataset, store, "test")
    telling = WithFeatures(tuning.model)
    together = unsplit(telling, trial.params.image_size)
    told = logits_of(telling, Inputs(test, together, stated, device=tuning.device))
    logits, features = np.split(told, [len(job.dataset.classes)], axis=1)
    state = {name: t.contiguous().cpu() for name, t in tuning.model.state_dict().items()}
    yield RetrainedMember(state, softmax(logits, axis=1), features.astype(np.float16))


def _followed(
    steps: Iterable[EpochReport | RetrainedMember], chosen: EnsembleMember, metric: str
) -> RetrainedMember:
    """The last of them; the reports before it are logged as they come."""
    best = chosen.trial.best(metric)
    assert best is not None
    for step in steps:
        if isinstance(step, EpochReport):
            _log.info(
                "retraining trial %s, epoch %d of %d: train_loss %.4f, %.0f s",
                chosen.trial.trial_id,
                step.epoch,
                best.epoch,
                step.train_loss,
                step.seconds,
            )
    assert isinstance(step, RetrainedMember)
    return step


def retrain(
    job: TrialJob, recipe: FinalModelSpec, paths: SweepPaths, *, avoid: Sequence[str] = ()
) -> FinalModel:
    """`refit` what the final model is made of, and write what came of it.

    Runs on a GPU of the cluster if trials did and Ray is up, but on no machine of Ray's ids
    ``avoid``; else here with every core. Raises `RunError` if that can't be done.
    """
    fitted = [_retrain_where_possible(job, chosen, paths, avoid) for chosen in recipe.members]
    weights = [chosen.weight for chosen in recipe.members]
    probabilities = np.average([each.probabilities for each in fitted], axis=0, weights=weights)
    labels = job.dataset.labels[job.dataset.rows("test")]
    final = FinalModel(
        test=test_metrics(probabilities, labels, job.dataset.classes),
        majority_accuracy=majority_class_share(labels.tolist()),
        members=tuple(_member(chosen, job.config.metric) for chosen in recipe.members),
        rates=_rates(recipe, probabilities, labels, job.dataset.classes),
    )
    answers = Predictions(job.dataset.classes, labels, probabilities)
    tested = [job.dataset.paths[row] for row in job.dataset.rows("test")]
    paths.card.unlink(missing_ok=True)  # what is exported is no longer of the final model
    paths.metrics.unlink(missing_ok=True)  # comes back last: its presence says the rest is whole
    for k, each in enumerate(fitted):
        write_atomically(paths.member_weights(k), partial(save_file, each.state))
    for leftover in set(paths.retrained.glob("model*.safetensors")) - {
        paths.member_weights(k) for k in range(len(fitted))
    }:
        leftover.unlink()
    answers.write(paths.predictions, tested)
    write_atomically(paths.features, lambda file: _save(fitted[0].features, file))
    write_json(paths.metrics, final.to_dict())
    return final


def _retrain_where_possible(
    job: TrialJob, chosen: EnsembleMember, paths: SweepPaths, avoid: Sequence[str]
) -> RetrainedMember:
    if not (job.on_gpu and ray.is_initialized()):
        return retrain_member(job, chosen, threads=os.cpu_count() or 1)
    on_a_gpu: Any = ray.remote(
        num_gpus=1,
        num_returns="streaming",
        max_retries=2,  # of lost workers and machines
        label_selector=none_of(avoid),
    )
    steps = on_a_gpu(_retrain_steps).remote(job, chosen, threads=1)
    try:
        fitted = _followed(map(ray.get, steps), chosen, job.config.metric)
    except RunError:
        raise
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(
            f"Retraining trial {chosen.trial.trial_id} failed ({reason}). The trials are kept; "
            f"once that is mended, go on:  {command('resume', paths)}"
        ) from error
    return fitted


def _rates(
    recipe: FinalModelSpec, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> Rates | None:
    if recipe.point is None:
        return None
    positive = list(classes).index(recipe.point.positive)
    return Rates.of(recipe.point, probabilities[:, positive], labels == positive)


def _member(chosen: EnsembleMember, metric: str) -> Member:
    trial = chosen.trial
    best = trial.best(metric)
    assert best is not None
    return Member(
        trial.trial_id,
        best.epoch,
        best.val_accuracy,
        trial.params,
        chosen.weight,
        chosen.temperature,
    )


def _save(features: np.ndarray, file: Path) -> None:
    with file.open("wb") as opened:  # given a name, NumPy adds an ending
        np.save(opened, features)
