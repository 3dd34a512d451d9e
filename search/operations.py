"""Operations on a launched sweep: retrain its final model, write its report, export it again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from search.cluster import connect_to_ray
from search.config import Format, SweepConfig
from search.final import (
    ExportedFormat,
    FinalModelSpec,
    check_export_packages,
    export_model,
    finalize_model,
    select_final_model,
)
from search.planning import survey_again
from search.ranking import select_winner, trial_table
from search.record import (
    FinalModel,
    ResolvedSettings,
    StageClock,
    SweepPaths,
    TrialRecord,
    check_weights_unchanged,
    is_driver_running,
    load_sweep_config,
    log_to_file,
    mirror_of,
    mlflow_of,
    read_trials,
    requested_config,
    sweep_command,
)
from search.result import SweepResult
from search.trial import TrialJob
from search.tuning import fit_resources
from spaces import ConfigError
from trainables.data import Dataset, PixelStore, build_store, read_source, stored_files
from trainables.files import write_json
from trainables.images import PixelFormat
from trainables.models import Preprocessing, find_weights
from trainables.progress import Progress, ignore_progress
from trainables.replacement import finish_replacing


def retrain_sweep(
    paths: SweepPaths,
    *,
    trial: str | None = None,
    changes: Mapping[str, object] | None = None,
    progress: Progress = ignore_progress,
) -> SweepResult:
    """Retrain, test and export the final model of a sweep, without Ray unless workers share it.

    If ``trial``, an id or a number, is given, this trial alone is the final model. ``changes`` to
    `RETRAIN_SETTINGS` are saved in the sweep's settings. Raises `UserError`.
    """
    # 1. Read the record of the sweep.
    config = load_sweep_config(paths, changes)
    check_export_packages(config.export.formats)
    log_to_file(paths.log)
    trials = read_trials(paths.journal)
    # 2. Select the members of the final model.
    if trial is None:
        best, selection = select_winner(trials, config.metric), config
    else:
        best = _find_trial(trials, trial, config.metric)
        selection = config.model_copy(update={"ensemble": 1})
    dataset = Dataset.read(paths.dataset, paths.split)
    if changes and "data" in changes:
        dataset = survey_again(config, dataset, progress).dataset
        dataset.write(paths.dataset, paths.split)
    spec = select_final_model(best, trials, paths, dataset, selection)
    # 3. Retrain, test and export the final model, and write the report.
    from search.report import write_report  # its charts take a second to import

    job = _trial_job(config, spec, dataset, paths, progress)
    if config.retrain_workers > 1:
        connect_to_ray(config.address)
        job = replace(job, on_gpu=fit_resources(config).gpus > 0)
    with mirror_of(config, paths):
        if changes:
            write_json(paths.config, requested_config(paths, changes).model_dump(mode="json"))
        final = finalize_model(job, spec, trials, paths, progress, StageClock(), reuse=False)
        report = write_report(paths, trials)
        again = ("retrain", "--trial", trial) if trial else ("retrain",)
        with mlflow_of(config, paths, command=again) as tracker:
            if tracker:
                tracker.complete(final)
    table = trial_table(trials, config.metric)
    return SweepResult(paths, table, 0, final=final, export=paths.export, report=report)


def _trial_job(
    config: SweepConfig,
    spec: FinalModelSpec,
    dataset: Dataset,
    paths: SweepPaths,
    progress: Progress,
) -> TrialJob:
    """Job with the images and weights that ``spec`` needs, on this machine.

    Raises `ConfigError` if the weights have changed since the launch.
    """
    params = [member.trial.params for member in spec.to_retrain]
    backbones = dict.fromkeys(each.backbone for each in params)
    weights = {b: find_weights(b, config.weights, cache=config.cache_dir) for b in backbones}
    check_weights_unchanged(paths, weights)
    if isinstance(config.data, str):  # an address; the cache may have deleted its local copy
        read_source(
            config.data, cache=config.cache_dir, options=config.read_options, progress=progress
        )
    formats = [Preprocessing.of(p.backbone).pixel_format(p.image_size, p.fit) for p in params]
    stores: dict[PixelFormat, PixelStore] = {}
    for pixel_format in dict.fromkeys(formats):
        stores[pixel_format] = build_store(
            dataset,
            pixel_format,
            cache=config.cache_dir,
            budget_bytes=config.cache_bytes,
            keep=stored_files(stores.values()),
            progress=progress,
        )
    rounds = ResolvedSettings.read(paths).rounds
    on_gpu = config.gpus_per_trial != 0
    return TrialJob(config, dataset, stores, weights, on_gpu=on_gpu, rounds=rounds)


def report_sweep(paths: SweepPaths, *, out: Path | None = None) -> Path:
    """Write the report of a sweep (see `search.report`), even while the sweep runs.

    Also updates the mirror in an object store, unless ``out`` is given. While a driver runs the
    sweep, that driver updates the mirror. Raises `ConfigError` if it runs elsewhere, or if the
    sweep was continued there.
    """
    from search.report import write_report

    finish_replacing(paths.root)
    trials = read_trials(paths.journal)
    if out is not None or is_driver_running(paths):
        return write_report(paths, trials, out)
    with mirror_of(load_sweep_config(paths), paths):
        return write_report(paths, trials)


def export_sweep(
    paths: SweepPaths, *, formats: Sequence[Format] | None = None, out: Path | None = None
) -> tuple[ExportedFormat, ...]:
    """Export the final model of a sweep again, in ``formats`` to the folder ``out``.

    By default, these are the sweep's own formats and export folder. Raises `ConfigError` if the
    sweep has no retrained model, and the errors of `export_model`.
    """
    finish_replacing(paths.root)
    if not paths.metrics.exists():
        name = paths.root.name
        if paths.staged.metrics.exists():
            raise ConfigError(
                f"The retrained model of the sweep {name!r} waits for its export, which failed; "
                f"run '{sweep_command('resume', paths)}', with other --export.formats if one "
                "fails."
            )
        raise ConfigError(
            f"The sweep {name!r} has no retrained model; run '{sweep_command('retrain', paths)}' "
            "first."
        )
    config = load_sweep_config(paths)
    with mirror_of(config, paths):
        return export_model(
            FinalModel.read(paths),
            read_trials(paths.journal),
            Dataset.read(paths.dataset, paths.split),
            paths,
            formats=formats or config.export.formats,
            out=out,
        )


def _find_trial(trials: Sequence[TrialRecord], name: str, metric: str) -> TrialRecord:
    """Trial whose id or number is ``name``.

    Raises `ConfigError` if there is no such trial, or if it has no epoch with a finite loss.
    """
    for trial in trials:
        if name in (trial.trial_id, str(trial.number)):
            if trial.best(metric) is None:
                raise ConfigError(
                    f"Trial {trial.trial_id} has no epoch with a finite loss; choose another trial."
                )
            return trial
    there = f"the trials are 0000 to {trials[-1].trial_id}" if trials else "none has begun yet"
    raise ConfigError(f"No trial {name!r}; {there}.")
