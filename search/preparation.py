"""Preparation of a sweep before its first trial: plan, Ray, images, resources, launch record."""

import csv
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd

from search.cluster import Machine, check_machines, connect_to_ray, machine_warnings
from search.config import SweepConfig
from search.final import export_seconds
from search.planning import (
    VALIDATION_COST,
    CheckedInputs,
    Plan,
    PreparedPlan,
    RecordedPlan,
    choose_epochs,
    choose_rounds,
    complete_plan,
    prepare_plan,
)
from search.record import (
    ResolvedSettings,
    StageClock,
    SweepPaths,
    check_weights_unchanged,
    describe_environment,
)
from search.trial import TrialJob
from search.tuning import Resources, fit_resources, measure_training_speed
from spaces import ConfigError
from trainables.data import Dataset, PixelStore, StagedPixels, build_store, stored_files
from trainables.files import write_atomically, write_json
from trainables.images import PixelFormat
from trainables.progress import Progress

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Preparation:
    """Plan, images and cluster resources of a sweep that is ready for its first trial."""

    plan: Plan
    stores: dict[PixelFormat, PixelStore]
    resources: Resources
    machines: Sequence[Machine]


def prepare_sweep(
    config: SweepConfig,
    progress: Progress,
    clock: StageClock,
    *,
    checked: CheckedInputs | None = None,
    recorded_in: SweepPaths | None = None,
) -> Preparation:
    """Make the plan, connect to Ray, and build the stores of the images. Raises `UserError`.

    Args:
        config: Settings of the sweep. The returned plan has a copy with the metric resolved.
        progress: Progress callback.
        clock: Times the stages "check", "start", "scan" and "decode".
        checked: Results of `check_launch`, if it was called; the inputs are then not read again.
        recorded_in: Paths of the sweep to resume; None for a launch. The images and weights must
            be those of the launch.
    """
    recorded: Dataset | None = None
    plan_record: RecordedPlan | None = None
    if recorded_in is not None:
        recorded = Dataset.read(recorded_in.dataset, recorded_in.split)
        plan_record = RecordedPlan.read(recorded_in)
    progress("checking the space, the weights and the models", 0, 0)
    with clock.stage("check"):
        prepared = prepare_plan(config, plan_record, checked=checked)
        if recorded_in is not None:
            check_weights_unchanged(recorded_in, prepared.weights)
    with clock.stage("start"):
        connect_to_ray(config.address)
        machines = check_machines(config.cache_dir)
    for sentence in machine_warnings(machines, config.cache_gib):
        _log.warning(sentence)
    resources = fit_resources(config)
    if config.gpu_hours and not resources.gpus:
        raise ConfigError(
            "gpu_hours is given, but the trials hold no GPU; use time_budget instead."
        )
    plan, stores = _read_images(prepared, recorded, progress, clock)
    if recorded_in is not None:
        plan = replace(plan, rounds=ResolvedSettings.read(recorded_in).rounds)
    else:
        with clock.stage("start"):
            deadline = clock.deadline(config.time_budget)
            plan = _with_length_of_trials(plan, stores, resources, machines, progress, deadline)
    return Preparation(plan, stores, resources, machines)


def _with_length_of_trials(
    plan: Plan,
    stores: dict[PixelFormat, PixelStore],
    resources: Resources,
    machines: Sequence[Machine],
    progress: Progress,
    deadline: float,
) -> Plan:
    """The plan with its epochs and rounds, by the speed of a trial on a worker if need be."""
    config, dataset = plan.config, plan.survey.dataset
    trained = [point for point in plan.points if point.head == "trained"]
    if not trained and len(plan.points) < config.trials:
        trained = [plan.space.params({}, native_image_size=plan.native_image_size)]

    @cache
    def speed() -> float:
        if not trained:  # linear probes alone, which take every image at once
            return float(len(dataset))
        progress("measuring the speed of training", 0, 0)
        job = TrialJob(config, dataset, stores, plan.weights, on_gpu=resources.gpus > 0)
        alone = len(machines) == 1 and not resources.gpus
        return measure_training_speed(job, resources, trained[0], in_this_process=alone)

    rounds, epochs = choose_rounds(config, dataset, speed), config.epochs
    if config.max_epochs is None and config.time_budget and trained:
        probes = sum(point.head == "solved" for point in plan.points) / resources.concurrent
        probing = probes * VALIDATION_COST * len(dataset) / speed()
        export = export_seconds(config.export.formats) if config.retrain else 0.0
        left = deadline - time.monotonic() - probing - export
        epochs = choose_epochs(config, dataset, speed(), left)
        if epochs < config.epochs:
            _log.info("max_epochs is %d, as the time budget leaves no time for more", epochs)
    return replace(plan, config=config.model_copy(update={"max_epochs": epochs}), rounds=rounds)


def _read_images(
    prepared: PreparedPlan, recorded: Dataset | None, progress: Progress, clock: StageClock
) -> tuple[Plan, dict[PixelFormat, PixelStore]]:
    """Survey the images, and build a store of every pixel format that a trial may need."""
    config = prepared.config
    staged = StagedPixels(config.cache_dir, prepared.pixel_formats, budget_bytes=config.cache_bytes)
    with clock.stage("scan"):
        plan = complete_plan(prepared, progress, staged=staged, recorded=recorded)
    stores: dict[PixelFormat, PixelStore] = {}
    with clock.stage("decode"):
        for pixel_format in prepared.pixel_formats:
            stores[pixel_format] = build_store(
                plan.survey.dataset,
                pixel_format,
                cache=config.cache_dir,
                budget_bytes=config.cache_bytes,
                keep=stored_files(stores.values()),
                staged=staged,
                progress=progress,
            )
    return plan, stores


def record_launch(
    paths: SweepPaths, plan: Plan, asked: SweepConfig, given: Path | None = None
) -> None:
    """Write the files of a sweep that exist before its first trial; ``sweep.json`` comes last.

    ``asked`` holds the settings as the user gave them; ``given`` is the user's settings file.
    """
    if given is not None:
        content = given.read_bytes()
        write_atomically(paths.given_settings, lambda partial: partial.write_bytes(content))
    plan.survey.dataset.write(paths.dataset, paths.split)
    issues = pd.DataFrame(plan.survey.issues, columns=["path", "kind", "reason"])
    write_atomically(
        paths.bad_images,
        lambda partial: issues.to_csv(partial, index=False, quoting=csv.QUOTE_ALL),
    )
    write_json(paths.space, plan.space.to_table())
    points = json.dumps([point.model_dump() for point in plan.points], indent=2)
    write_atomically(
        paths.initial_points, lambda partial: partial.write_text(points, encoding="utf-8")
    )
    write_json(paths.environment, describe_environment(plan.weights))
    record_settings(paths, plan, asked)


def record_settings(paths: SweepPaths, plan: Plan, asked: SweepConfig) -> None:
    """Write the resolved settings, then the settings as the user gave them."""
    config = plan.config
    resolved = ResolvedSettings(config.metric, plan.sampler_seed, config.epochs, plan.rounds)
    write_json(paths.resolved, asdict(resolved))
    write_json(paths.config, asked.model_dump(mode="json"))
