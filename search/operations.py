"""What is done with a launched sweep afterwards: retrained, reported, exported."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from search.config import Format, SweepConfig
from search.final import ExportedFormat, export_model, finalize_model, select_final_model
from search.ranking import select_winner, trial_table
from search.record import (
    FinalModel,
    StageClock,
    SweepPaths,
    TrialRecord,
    asked_config,
    check_weights_unchanged,
    keeping_copy,
    load_config,
    log_to,
    read_trials,
)
from search.result import SweepResult
from search.trial import TrialJob
from spaces import ConfigError
from trainables.data import Dataset, build_store, read_source
from trainables.files import write_json
from trainables.models import Preprocessing, find_weights
from trainables.progress import Progress, ignore_progress


def retrain_sweep(
    paths: SweepPaths,
    *,
    trial: str | None = None,
    changes: Mapping[str, object] | None = None,
    progress: Progress = ignore_progress,
) -> SweepResult:
    """Retrain and export the winner of a launched sweep, or one trial of it. Needs no Ray.

    ``changes`` are settings of `HANDED_OVER`, which the sweep keeps. Raises `UserError`.
    """
    config = load_config(paths, changes)
    log_to(paths.log)
    trials = read_trials(paths.journal)
    chosen = (
        select_winner(trials, config.metric) if trial is None else _named(trials, trial, config)
    )
    dataset = Dataset.read(paths.dataset, paths.split)
    alone = config if trial is None else config.model_copy(update={"ensemble": 1})
    recipe = select_final_model(chosen, trials, paths, dataset, alone)
    params = chosen.params
    form = Preprocessing.of(params.backbone).pixel_format(params.image_size)
    backbones = {member.trial.params.backbone for member in recipe.members}
    weights = {b: find_weights(b, config.weights, cache=config.cache_dir) for b in backbones}
    check_weights_unchanged(paths, weights)
    if isinstance(config.data, str):  # the copy may have made way since
        read_source(config.data, cache=config.cache_dir, progress=progress)
    store = build_store(
        dataset,
        form,
        cache=config.cache_dir,
        budget_bytes=config.cache_bytes,
        progress=progress,
    )
    job = TrialJob(
        config,
        dataset,
        {form: store},
        weights,
        on_gpu=config.gpus_per_trial != 0,
    )
    from search.report import write_report  # its charts take a second to import

    with keeping_copy(config, paths):
        if changes:
            write_json(paths.config, asked_config(paths, changes).model_dump(mode="json"))
        final = finalize_model(job, recipe, paths, progress, StageClock())
        report = write_report(paths)
    table = trial_table(trials, config.metric)
    return SweepResult(paths, table, 0, final=final, export=paths.export, report=report)


def report_sweep(paths: SweepPaths, *, out: Path | None = None) -> Path:
    """Write the page of a sweep by now, also while it runs; see `search.report`."""
    from search.report import write_report

    if out is not None or paths.driver.exists():  # who runs it keeps the copy
        return write_report(paths, out)
    with keeping_copy(load_config(paths), paths):
        return write_report(paths)


def export_sweep(
    paths: SweepPaths, *, formats: Sequence[Format] | None = None, out: Path | None = None
) -> tuple[ExportedFormat, ...]:
    """Export the retrained model of a sweep again; see `search.final.export.export`."""
    if not paths.metrics.exists():
        raise ConfigError(
            f"The sweep {paths.root.name!r} has no retrained model; "
            f"run 'finesweep retrain {paths.root.name}' first."
        )
    config = load_config(paths)
    with keeping_copy(config, paths):
        return export_model(
            FinalModel.read(paths),
            Dataset.read(paths.dataset, paths.split),
            paths,
            formats=formats or config.export.formats,
            out=out or paths.export,
        )


def _named(trials: Sequence[TrialRecord], name: str, config: SweepConfig) -> TrialRecord:
    for trial in trials:
        if name in (trial.trial_id, str(trial.number)):
            if trial.best(config.metric) is None:
                raise ConfigError(f"Trial {trial.trial_id} has no finished epoch; choose another.")
            return trial
    there = f"there are 0000 to {trials[-1].trial_id}" if trials else "none has begun yet"
    raise ConfigError(f"No trial {name!r}; {there}.")
