"""Retraining of the final model's members on train and val, then the model's only test."""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import ray
import torch
from ray.exceptions import RayError
from safetensors.torch import save_file
from scipy.special import softmax

from search.cluster import selector_excluding
from search.final.duration import export_seconds
from search.final.export import CHECKED_IMAGES
from search.final.retrain_team import run_in_team, team_size
from search.final.selection import EnsembleMember, FinalModelSpec
from search.record import FinalModel, ProbeBaseline, RetrainedTrial, SweepPaths, sweep_command
from search.trial import TrialJob
from spaces import RunError
from trainables.data import ImageSet, majority_class_share
from trainables.evaluation import (
    McNemarTest,
    OperatingPoint,
    Predictions,
    SensitivitySpecificity,
    test_metrics,
)
from trainables.files import save_array, write_atomically, write_json
from trainables.inference import LogitsAndFeatures, apply_temperature, average_flips
from trainables.inputs import FeatureLoader
from trainables.models import Preprocessing, separate_tensors, unsplit
from trainables.process import configure_process
from trainables.process_limits import available_cpus
from trainables.training import (
    ALONE,
    ComputeSettings,
    FineTuneSettings,
    FineTuning,
    RoundReport,
    Team,
    finetune,
    last_as_good,
    logits_of,
)

_log = logging.getLogger("finesweep")

_TIME_OF_A_ROUND = 1.25
"""Expected time of a round of retraining and of the test, as a multiple of the last round's."""


@dataclass(frozen=True)
class RetrainedMember:
    """A retrained member of the final model, with its outputs for the test images."""

    state_dict: dict[str, torch.Tensor]
    """Parameters and buffers, on the CPU."""
    probabilities: np.ndarray
    """Probabilities of the test images, ``(n, classes)``."""
    features: np.ndarray
    """Inputs of the classifier layer for the test images, ``(n, d)`` float16."""
    epochs: float
    """Epochs of the retraining."""


def retrain_member(
    job: TrialJob, member: EnsembleMember, *, threads: int, seconds: float = math.inf
) -> RetrainedMember:
    """Fine-tune on train and val with the parameters of the member's trial, then test.

    Training runs as many epochs as the trial took to the last round that is as good as its best
    (`last_as_good`). The learning-rate schedule of the trial is kept, and may end there early.
    Every epoch augments the images anew. Training ends earlier if another round would not fit into
    ``seconds``. Raises `RunError` if training diverges.
    """
    return _log_rounds(
        _retrain_steps(ALONE, job, member, threads, seconds), member, last_round(job, member)
    )


def _retrain_steps(
    team: Team, job: TrialJob, member: EnsembleMember, threads: int, seconds: float
) -> Iterator[RoundReport | RetrainedMember]:
    """Yield the report of each round, then the retrained member if this process is the first.

    This is the only place that evaluates a model on the test images.
    """
    began = time.monotonic()
    configure_process(threads=threads)
    trial = member.trial
    preprocessing = Preprocessing.of(trial.params.backbone)
    store = job.store_for(trial.params)
    test = job.test_images(trial.params) if team.rank == 0 else None  # errors before training
    tuning = FineTuning(
        team.enlarge(trial.params),
        job.weights_for(trial.params),
        num_classes=len(job.dataset.classes),
        train=job.training_part(trial.params, ImageSet.of(job.dataset, store, "train", "val")),
        val=None,
        settings=FineTuneSettings(
            max_epochs=job.config.epochs,
            rounds_per_epoch=job.rounds.per_epoch,
            stop_after=last_round(job, member).round,
            seed=job.config.seed,
            plateau_losses=[report.val_loss for report in trial.reports],
        ),
        compute=ComputeSettings(
            device=job.device, precision=job.config.precision, cache=job.config.cache_dir
        ),
        team=team,
    )
    for report in finetune(tuning):
        yield report
        if report.diverged:
            raise _divergence_error(member, "the loss was", report.epoch)
        spent = time.monotonic() - began
        if team.decide(spent + _TIME_OF_A_ROUND * report.seconds > seconds, tuning.device):
            break
    if test is None:
        return
    apply_temperature(tuning.model, member.temperature)
    model = LogitsAndFeatures(tuning.model)
    split_model = unsplit(model, trial.params.image_size)
    outputs = logits_of(
        model, FeatureLoader(test, split_model, preprocessing, device=tuning.device)
    )
    logits, features = np.split(outputs, [len(job.dataset.classes)], axis=1)
    if job.config.test_time_flips != "none":
        averaged = average_flips(tuning.model, job.config.test_time_flips)
        split_model = unsplit(averaged, trial.params.image_size)
        logits = logits_of(
            averaged, FeatureLoader(test, split_model, preprocessing, device=tuning.device)
        )
    if not np.isfinite(logits).all():  # the last step, after the loss that was reported
        raise _divergence_error(member, "the outputs were", report.epoch)
    state = separate_tensors(tuning.model)
    probabilities = softmax(logits, axis=1)
    yield RetrainedMember(state, probabilities, features.astype(np.float16), report.epoch)


def _divergence_error(member: EnsembleMember, what: str, epoch: float) -> RunError:
    return RunError(
        f"Retraining trial {member.trial.trial_id} diverged: {what} no longer finite in epoch "
        f"{math.ceil(epoch)}; retrain another trial with --trial ID."
    )


def _log_rounds(
    steps: Iterable[RoundReport | RetrainedMember], member: EnsembleMember, last: RoundReport
) -> RetrainedMember:
    """Log the reports as they arrive, and return the retrained member that follows them."""
    for step in steps:
        if isinstance(step, RoundReport):
            _log.info(
                "retraining trial %s, epoch %.4g of %.4g: train_loss %.4f, %.0f s",
                member.trial.trial_id,
                step.epoch,
                last.epoch,
                step.train_loss,
                step.seconds,
            )
    assert isinstance(step, RetrainedMember)
    return step


def retrain_final_model(
    job: TrialJob,
    spec: FinalModelSpec,
    paths: SweepPaths,
    *,
    avoid: Sequence[str] = (),
    deadline: float = math.inf,
) -> FinalModel:
    """Retrain all members, test the mean of their probabilities, and write ``retrained/``.

    Retraining runs on a GPU of the cluster if the trials ran on GPUs and Ray is connected, else in
    this process on all cores. Ray nodes whose ids are in ``avoid`` are not used. Training ends so
    early that the export is there when `time.monotonic` is ``deadline``. Raises `RunError` if
    training diverges or its Ray task fails.
    """
    settings = job.config.model_copy(update={"test_time_flips": spec.flips})
    job = replace(job, config=settings)
    deadline -= export_seconds(job.config.export.formats)
    if spec.probe is not None:
        deadline -= sum(report.seconds for report in spec.probe.trial.reports)
    retrained: list[RetrainedMember] = []
    for member in spec.members:
        left = (deadline - time.monotonic()) / (len(spec.members) - len(retrained))
        retrained.append(_retrain_somewhere(job, member, paths, avoid, left))
    weights = [member.weight for member in spec.members]
    probabilities = np.average([each.probabilities for each in retrained], axis=0, weights=weights)
    labels = job.dataset.labels[job.dataset.rows("test")]
    predictions = Predictions(job.dataset.classes, labels, probabilities)
    baseline = None
    if spec.probe is not None:
        probe = _retrain_somewhere(job, spec.probe, paths, avoid)
        baseline = _baseline(spec.probe, probe.probabilities, probabilities, labels)
    final = FinalModel(
        test=test_metrics(probabilities, labels, job.dataset.classes),
        majority_accuracy=majority_class_share(labels.tolist()),
        members=tuple(
            _member(job, member, each.epochs)
            for member, each in zip(spec.members, retrained, strict=True)
        ),
        rates=_rates(spec.operating_point, predictions),
        probe=baseline,
        flips=spec.flips,
    )
    _write(final, retrained, predictions, job, paths)
    return final


def _write(
    final: FinalModel,
    retrained: Sequence[RetrainedMember],
    predictions: Predictions,
    job: TrialJob,
    paths: SweepPaths,
) -> None:
    """Write what the model is and what it was tested on; ``metrics.json``, last, completes it."""
    for number, member in enumerate(retrained):
        write_atomically(paths.member_weights(number), partial(save_file, member.state_dict))
    tested = job.dataset.rows("test")
    predictions.write(paths.predictions, [job.dataset.paths[row] for row in tested])
    save_array(paths.features, retrained[0].features)
    test = job.test_images(final.winner.params)
    resized = test.images(np.arange(min(CHECKED_IMAGES, len(test))))
    save_array(paths.checked_images, resized.permute(0, 2, 3, 1).numpy())
    write_json(paths.metrics, final.to_dict())


def _retrain_somewhere(
    job: TrialJob,
    member: EnsembleMember,
    paths: SweepPaths,
    avoid: Sequence[str],
    seconds: float = math.inf,
) -> RetrainedMember:
    """`retrain_member` in a Ray task on a GPU if the trials ran on GPUs, else in this process.

    With several `retrain_workers`, in as many Ray workers together, unless that left too few steps.
    """
    size, cores = _team_size(job, member), available_cpus()
    if size == 1 and not (job.on_gpu and ray.is_initialized()):
        return retrain_member(job, member, threads=cores, seconds=seconds)
    threads = 1 if job.on_gpu else max(1, cores // size)
    given: dict[str, Any] = {"job": job, "member": member, "threads": threads, "seconds": seconds}
    log = partial(_log_rounds, member=member, last=last_round(job, member))
    try:
        if size > 1:
            steps = partial(_retrain_steps, **given)
            return log(run_in_team(steps, size, on_gpu=job.on_gpu, cpus=threads, avoid=avoid))
        on_a_gpu: Any = ray.remote(
            num_gpus=1,
            num_returns="streaming",
            max_retries=2,  # after the loss of a worker or a machine
            label_selector=selector_excluding(avoid),
        )
        return log(map(ray.get, on_a_gpu(_retrain_steps).remote(ALONE, **given)))
    except RunError:
        raise
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(
            f"Retraining trial {member.trial.trial_id} failed ({reason}). The trials are kept; "
            f"repair the cause, then go on:  {sweep_command('resume', paths)}"
        ) from error


def _team_size(job: TrialJob, member: EnsembleMember) -> int:
    """Number of workers that retrain a member together; a linear probe is solved by one."""
    params = member.trial.params
    if params.head == "solved":
        return 1
    images = len(job.dataset.rows("train", "val")) * last_round(job, member).epoch
    return team_size(job.config.retrain_workers, images / params.batch_size)


def _rates(point: OperatingPoint | None, predictions: Predictions) -> SensitivitySpecificity | None:
    """Sensitivity and specificity on the test images at the operating point, if there is one."""
    if point is None:
        return None
    positive = predictions.classes.index(point.positive)
    return SensitivitySpecificity.measure(
        point, predictions.probabilities[:, positive], predictions.labels == positive
    )


def _baseline(
    probe: EnsembleMember, by_probe: np.ndarray, by_final: np.ndarray, labels: np.ndarray
) -> ProbeBaseline:
    """Compare two models by their probabilities of the test images, ``(n, classes)`` each."""
    right, also_right = by_final.argmax(axis=1) == labels, by_probe.argmax(axis=1) == labels
    comparison = McNemarTest.of("the final model", "the probe", right, also_right)
    return ProbeBaseline(probe.trial.trial_id, float(also_right.mean()), comparison)


def last_round(job: TrialJob, member: EnsembleMember) -> RoundReport:
    """Round of the trial at which its retraining ends."""
    last = last_as_good(member.trial.reports, job.config.metric, job.validation.images)
    assert last is not None, "only a trial with a finite round can be a member"
    return last


def _member(job: TrialJob, member: EnsembleMember, epochs: float) -> RetrainedTrial:
    return RetrainedTrial(
        member.trial.trial_id,
        epochs,
        member.best(job.config.metric).val_accuracy,
        member.trial.params,
        member.weight,
        member.temperature,
        len(member.trial.reports),
    )
