"""The commands as typed functions. Each makes its quick checks before its heavy imports."""

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from search.config import RETRAIN_SETTINGS, Format, Objective, SweepConfig, overlay
from search.record import SweepPaths
from spaces import ConfigError, RunError
from spaces.errors import unknown
from trainables.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from search.record import StageClock
    from search.result import SweepResult
    from search.sweep import Sweep
    from trainables.progress import Progress

DONE, FAULT, MISTAKE = 0, 1, 2
"""Exit statuses: done; failed or interrupted; a mistake of the user."""

TABLE_SUFFIXES = (".csv", ".parquet", ".json")
"""File suffixes of the table formats that can be written."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""File suffixes of the image formats that can be written."""

SUBMITTABLE = ("launch", "resume", "preflight")
"""Commands that `submit_job` can run on a cluster."""


def plan(
    config: SweepConfig,
    *,
    as_json: bool,
    augment_preview: Path | None,
    contact_sheet: Path | None,
) -> None:
    """Print what a launch would do."""
    _check_file("--augment-preview", augment_preview, PICTURE_SUFFIXES)
    _check_file("--contact-sheet", contact_sheet, PICTURE_SUFFIXES)
    from search.planning import check_inputs

    checked = check_inputs(config)
    from search.cli.output import plan_text
    from search.planning import (
        complete_plan,
        describe_plan,
        draw_augmentation,
        draw_contact_sheet,
        measure_backbones,
        prepare_plan,
    )

    progress = _progress()
    progress("checking the space, the weights and the models", 0, 0)
    plan = complete_plan(prepare_plan(config, checked=checked), progress)
    if contact_sheet:
        draw_contact_sheet(plan.survey.dataset, plan.pixel_formats[0], contact_sheet)
        print(f"Drawn in {contact_sheet}.", file=sys.stderr)
    document = describe_plan(plan, measure_backbones(plan))
    if augment_preview:
        draw_augmentation(plan.survey.dataset, plan.space, plan.pixel_formats[0], augment_preview)
        print(f"Drawn in {augment_preview}.", file=sys.stderr)
    print(json.dumps(document.to_json(), indent=2) if as_json else plan_text(document))


def launch(config: SweepConfig, *, config_file: Path | None) -> None:
    """Run a new sweep, and keep a copy of its ``config_file`` with it."""
    from search.planning import check_launch
    from search.record import StageClock

    clock = StageClock()
    checked = check_launch(config)
    _start_ray(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, given=config_file, progress=_progress(), clock=clock, checked=checked)
    _run_sweep(sweep, sweep.run)


def resume(sweep: str, results_dir: Path, *, changes: Mapping[str, object]) -> None:
    """Continue a sweep, given by its name, folder or address, with some settings changed."""
    changes = dict(changes)
    if "://" in sweep:
        from search.planning import check_folder
        from search.record import download_sweep

        check_folder("results_dir", results_dir)
        paths, storage_path = download_sweep(sweep, results_dir)
        changes.setdefault("storage_path", storage_path)
    else:
        paths = SweepPaths.existing(sweep, results_dir)
    from search.record import StageClock, load_sweep_config

    clock = StageClock()
    _start_ray(load_sweep_config(paths, changes), clock)
    from search.sweep import Sweep

    existing = Sweep.existing(paths, changes, progress=_progress(), clock=clock)
    _run_sweep(existing, existing.resume)


def preflight(settings: Mapping[str, Any]) -> None:
    """Print a line for each machine of a cluster, and warnings."""
    config = SweepConfig.parse(overlay({"data": "."}, settings))
    from search.cluster import check_machines, connect_to_ray, machine_warnings

    connect_to_ray(config.address)
    machines = check_machines(config.cache_dir)
    for line in [*map(str, machines), *machine_warnings(machines, config.cache_gib)]:
        print(line)


def submit(
    address: str,
    arguments: Sequence[str],
    *,
    job_name: str,
    config_file: Path | None,
    wait: bool,
) -> None:
    """Run a command, given by its ``arguments``, as a job on the head of a cluster.

    With ``wait``, print the job's log until the job ends. Ctrl-C stops the printing, not the job.
    """
    from search.cluster import follow_job, submit_job

    job = submit_job(
        address, [*arguments, "--address", "auto"], name=job_name, settings_file=config_file
    )
    print(f"Submitted {job.name}." + " Ctrl-C stops this log, not the job." * wait)
    print(f"Follow it:  {job.follow_command}\nStop it:    {job.stop_command}")
    if not wait:
        return
    try:
        follow_job(job, lambda lines: print(lines, end="", flush=True))
    except KeyboardInterrupt:
        print(f"{job.name} continues.")


def compare(
    sweeps: Sequence[str],
    results_dir: Path,
    *,
    where: str | None,
    top: int | None,
    csv: Path | None,
    as_json: bool,
    board: Literal["tensorboard", "dashboard"] | None,
) -> None:
    """Rank the trials of sweeps, and compare their final models."""
    from search.ranking import compare_sweeps

    if top is not None and top < 1:
        raise ConfigError(f"--top must be 1 or more, not {top}.")
    _check_file("--csv", csv)
    all_paths = [SweepPaths.existing(name, results_dir) for name in sweeps]
    comparison = compare_sweeps(all_paths, where=where)
    for warning in comparison.warnings:
        print(warning, file=sys.stderr)
    table, rows = comparison.trials, top or len(comparison.trials)
    if csv:
        write_atomically(csv, lambda partial: table.to_csv(partial, index=False))
    if as_json:
        print(table.head(rows).to_json(orient="records", indent=2, double_precision=15))
    else:
        from search.cli.output import print_comparison

        _print_trials(table, comparison.metric, comparison.objectives, rows=rows)
        if len(all_paths) > 1:
            print_comparison(comparison)
    if board:
        from search.cli.dashboards import serve_dashboard, serve_tensorboard

        serve = serve_tensorboard if board == "tensorboard" else serve_dashboard
        serve(all_paths)


def report(sweep: str, results_dir: Path, *, out: Path | None) -> None:
    """Write the report of a sweep."""
    paths = SweepPaths.existing(sweep, results_dir)
    _check_file("--out", out)
    from search.operations import report_sweep

    print(f"Report: {report_sweep(paths, out=out)}")


def retrain(
    sweep: str, results_dir: Path, *, trial: str | None, changes: Mapping[str, object]
) -> None:
    """Retrain, test and export the winner of a sweep, or one ``trial`` of it."""
    paths = SweepPaths.existing(sweep, results_dir)
    from search.operations import retrain_sweep
    from search.record import load_sweep_config

    if others := set(changes) - set(RETRAIN_SETTINGS):
        raise ConfigError(
            f"retrain can't change {', '.join(sorted(others))}, only "
            f"{', '.join(RETRAIN_SETTINGS)}; use resume or launch for that."
        )
    result = retrain_sweep(paths, trial=trial, changes=changes, progress=_progress())
    config = load_sweep_config(paths)
    _print_result(result, config.model_copy(update={"ensemble": 1}) if trial else config)


def export(
    sweep: str, results_dir: Path, *, formats: Sequence[str] | None, out: Path | None
) -> None:
    """Export the retrained model of a sweep again."""
    paths = SweepPaths.existing(sweep, results_dir)
    known = get_args(Format)
    for name in formats or []:
        if name not in known:
            raise ConfigError(unknown("format", name, known))
    from search.operations import export_sweep

    checked = cast("Sequence[Format] | None", formats)
    for made in export_sweep(paths, formats=checked, out=out):
        print(
            f"{made.format}: {made.size_mib:.1f} MiB, {made.latency_ms:.1f} ms for one image, "
            f"largest difference in logits {made.max_logit_difference:.1e}"
        )
    print(f"Export: {out or paths.export}")


def predict(
    export: Path, images: Sequence[Path], *, out: Path | None, grad_cam: Path | None, top: int
) -> None:
    """Classify images, given as files, folders, tar archives or Parquet files, with an export.

    Every file has a line or a row. They are written before anything is reported. Raises
    `ConfigError` if no file can be read.
    """
    from trainables.folders import find_given_files
    from trainables.images import stamp_of

    if top < 1:
        raise ConfigError(f"--top must be 1 or more, not {top}.")
    _check_file("--out", out, TABLE_SUFFIXES)
    given = find_given_files(images)
    if given.files and not any(map(stamp_of, given.files)):
        raise ConfigError(f"The image {str(given.files[0])!r} does not exist.")
    from search.cli.predictions import gap_lines, prediction_lines, write_predictions
    from search.record import check_export
    from trainables.inference import Predictor
    from trainables.process import configure_process
    from trainables.process_limits import available_cpus
    from trainables.replacement import finish_replacing

    configure_process(threads=available_cpus())  # torch itself heeds no quota of a container
    for folder in (export, export.parent):
        finish_replacing(folder)
    predictor = Predictor.load(export)
    check_export(export, predictor)
    if grad_cam and predictor.model is None:
        raise ConfigError(
            "--grad-cam needs the timm folder of an export, which an ensemble or a model with a "
            "hidden head layer does not have; leave the flag out."
        )
    predictions = predictor.predict(given.files, _progress())
    if out:
        write_predictions(predictions, predictor.spec, out)
    else:
        for line in prediction_lines(predictions, predictor.spec, top):
            print(line)
    for line in gap_lines(predictions, given.skipped):
        print(line, file=sys.stderr)
    if not predictions.files:
        raise ConfigError("None of the images can be read; give image files or folders of them.")
    if grad_cam:
        predictor.draw_grad_cams(predictions, grad_cam, _progress())


def _start_ray(config: SweepConfig, clock: "StageClock") -> None:
    """Connect to Ray or start it, and import the modules of a sweep meanwhile."""
    from search.cluster import connect_to_ray_while_importing

    _progress()("starting Ray", 0, 0)
    with clock.stage("start"):
        connect_to_ray_while_importing("search.sweep", config.address)


def _run_sweep(sweep: "Sweep", run: "Callable[[], SweepResult]") -> None:
    """Run a sweep and print its result; exit with `FAULT` if the sweep is not finished.

    If it is interrupted after its start, raises `RunError` with the command that resumes it.
    """
    from search.record import sweep_command

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C; batch systems send it
    try:
        result = run()
    except KeyboardInterrupt:
        if not sweep.paths.config.exists():
            raise
        again = sweep_command("resume", sweep.paths)
        raise RunError(f"Stopped; nothing is lost. Go on:  {again}") from None
    _print_result(result, sweep.config)
    if result.unfinished or result.unconfirmed:
        sys.exit(FAULT)


def _check_file(flag: str, file: Path | None, suffixes: Sequence[str] = ()) -> None:
    """Check an output file's suffix and folder. Raises `ConfigError`, which names the ``flag``."""
    if file is None:
        return
    if suffixes and file.suffix.lower() not in suffixes:
        raise ConfigError(f"{flag} must end in one of {', '.join(suffixes)}, not {file.suffix!r}.")
    if file.is_dir() or not file.absolute().parent.is_dir():
        fault = "is a folder" if file.is_dir() else f"lies in {file.parent}, which does not exist"
        raise ConfigError(f"{flag} {file} {fault}; name a file in a folder that exists.")


def _print_result(result: "SweepResult", config: SweepConfig) -> None:
    from search.cli.output import result_text

    _print_trials(result.trials, config.metric, config.objectives, rows=len(result.trials))
    print(result_text(result, config))


def _print_trials(
    table: "pd.DataFrame", metric: str, objectives: "Sequence[Objective]", *, rows: int
) -> None:
    """Print the first ``rows`` of the leaderboard, and the Pareto front if there are objectives."""
    from search.cli.output import print_table
    from search.ranking import leaderboard_columns, pareto_front

    print_table(leaderboard_columns(table, metric).head(rows))
    if objectives and not table.empty:
        print(
            f"Pareto front of {' and '.join([metric, *objectives])}: no other trial is at least as "
            "good in all of these and better in one."
        )
        print_table(leaderboard_columns(pareto_front(table, metric, objectives), metric))


def _progress() -> "Progress":
    from search.progress_lines import ProgressLines

    return ProgressLines()
