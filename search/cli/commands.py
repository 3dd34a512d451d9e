"""What each command of the command line does; heavy imports live in the commands."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from search.cli.flags import config_of, flags_of
from search.config import HANDED_OVER, Format, Objective, SweepConfig, overlay
from search.record import SweepPaths
from spaces import ConfigError, RunError
from spaces.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    from search.record import StageClock
    from search.result import SweepResult
    from search.sweep import Sweep
    from trainables.inference import Answers, ModelSpec

DONE, FAULT, MISTAKE = 0, 1, 2
"""Exit statuses: done; anything unforeseen; the user's mistake, told in one sentence."""

TABLES = (".csv", ".parquet", ".json")
"""Endings of files that a table can be written to."""

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of files that a picture can be written to."""

ON_CLUSTERS = ("launch", "resume", "preflight")
"""Commands that can be submitted."""


def plan(args: argparse.Namespace) -> None:
    """Say what a launch would do."""
    config = config_of(args)
    _check_file("--augment-preview", args.augment_preview, PICTURES)
    from search.planning import check_given

    check_given(config)
    from search.cli.output import plan_words
    from search.planning import (
        backbone_facts,
        draft_plan,
        draw_augmentation,
        make_plan,
        plan_document,
    )

    progress = _progress()
    progress("checking the space, the weights and the models", 0, 0)
    plan = make_plan(draft_plan(config), progress)
    document = plan_document(plan, backbone_facts(plan))
    if args.augment_preview:
        draw_augmentation(plan.survey.dataset, args.augment_preview)
        print(f"Drawn in {args.augment_preview}.", file=sys.stderr)
    print(json.dumps(document, indent=2) if args.json else plan_words(document))


def launch(args: argparse.Namespace) -> None:
    """A whole sweep."""
    config = config_of(args)
    from search.planning import check_at_once
    from search.record import StageClock

    clock = StageClock()
    check_at_once(config)
    _start(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, given=args.config, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.run)


def resume(args: argparse.Namespace) -> None:
    """The rest of a sweep."""
    changes = {name: value for name, value in flags_of(args).items() if name != "results_dir"}
    if "://" in args.sweep:
        from search.record import bring_sweep

        paths, storage_path = bring_sweep(args.sweep, args.results_dir)
        changes.setdefault("storage_path", storage_path)
    else:
        paths = SweepPaths.existing(args.sweep, args.results_dir)
    from search.record import StageClock, load_config

    clock = StageClock()
    _start(load_config(paths, changes), clock)
    from search.sweep import Sweep

    sweep = Sweep.existing(paths, changes, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.resume)


def preflight(args: argparse.Namespace) -> None:
    """A line for each machine."""
    config = SweepConfig.parse(overlay({"data": "."}, flags_of(args)))
    from search.cluster import examine_machines, machine_warnings, start_ray

    start_ray(config.address)
    machines = examine_machines(config.cache_dir)
    for line in [*map(str, machines), *machine_warnings(machines, config.cache_gib)]:
        print(line)


def submit(args: argparse.Namespace) -> None:
    """One of these on a cluster's head, by its job server."""
    words = args.words
    if not words or words[0] not in ON_CLUSTERS:
        raise ConfigError(
            f"After submit and its flags comes one of {', '.join(ON_CLUSTERS)}, not "
            f"{words[0] if words else 'nothing'}; see finesweep submit --help."
        )
    inner = args.parse(words)
    name, settings_file = "cluster", None
    if inner.command == "launch":
        name, settings_file = config_of(inner).name, inner.config
        words = [*words, "--name", name]
    elif inner.command == "resume":
        name = Path(inner.sweep).name
    from search.cluster import follow, submit

    job = submit(
        args.address,
        [*words, "--address", "auto"],
        name=f"{inner.command}-{name}-{datetime.now():%Y%m%d-%H%M%S}",
        settings_file=settings_file,
    )
    print(f"Submitted {job.name}; Ctrl-C ends following it, not the job.")
    print(f"Follow it:  {job.how_to_follow}\nStop it:    {job.how_to_stop}")
    if args.no_wait:
        return
    try:
        follow(job, lambda lines: print(lines, end="", flush=True))
    except KeyboardInterrupt:
        print(f"{job.name} goes on.")


def _start(config: SweepConfig, clock: "StageClock") -> None:
    """Start Ray and import what a sweep needs, side by side."""
    from search.cluster import start_ray_beside_importing

    _progress()("starting Ray", 0, 0)
    with clock.stage("start"):
        start_ray_beside_importing("search.sweep", config.address)


def _run_sweep(sweep: "Sweep", run: "Callable[[], SweepResult]") -> None:
    from search.record import command

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # of a batch system: as Ctrl-C
    try:
        result = run()
    except KeyboardInterrupt:
        if not sweep.paths.config.exists():
            raise
        again = command("resume", sweep.paths)
        raise RunError(f"Stopped; nothing is lost. Go on:  {again}") from None
    _show(result, sweep.config)
    if result.unfinished or result.unconfirmed:
        sys.exit(FAULT)


def compare(args: argparse.Namespace) -> None:
    """Rank trials, and weigh final models against one another."""
    from search.ranking import compare_sweeps

    if args.top is not None and args.top < 1:
        raise ConfigError(f"--top must be 1 or more, not {args.top}.")
    _check_file("--csv", args.csv)
    found = [SweepPaths.existing(name, args.results_dir) for name in args.sweeps]
    compared = compare_sweeps(found, where=args.where)
    for warning in compared.warnings:
        print(warning, file=sys.stderr)
    table, shown = compared.trials, args.top or len(compared.trials)
    if args.csv:
        table.to_csv(args.csv, index=False)
    if args.json:
        print(table.head(shown).to_json(orient="records", indent=2, double_precision=15))
    else:
        from search.cli.output import comparison_words

        _show_trials(table, compared.metric, compared.objectives, shown=shown)
        if len(found) > 1:
            comparison_words(compared)
    if args.tensorboard or args.dashboard:
        from search.cli.dashboards import serve_dashboard, serve_tensorboard

        serve = serve_tensorboard if args.tensorboard else serve_dashboard
        serve(found)


def report(args: argparse.Namespace) -> None:
    """One page of what a sweep found."""
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    _check_file("--out", args.out)
    from search.operations import report_sweep

    print(f"Report: {report_sweep(paths, out=args.out)}")


def retrain(args: argparse.Namespace) -> None:
    """The final model again."""
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    from search.operations import retrain_sweep
    from search.record import load_config

    changes = {name: value for name, value in flags_of(args).items() if name != "results_dir"}
    if others := set(changes) - set(HANDED_OVER):
        raise ConfigError(
            f"retrain changes {', '.join(HANDED_OVER)}, not {', '.join(sorted(others))}; resume "
            "or launch may."
        )
    made = retrain_sweep(paths, trial=args.trial, changes=changes, progress=_progress())
    config = load_config(paths)
    _show(made, config.model_copy(update={"ensemble": 1}) if args.trial else config)


def export(args: argparse.Namespace) -> None:
    """The export again."""
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    formats = args.formats.split(",") if args.formats else None
    for name in formats or []:
        if name not in get_args(Format):
            raise ConfigError(unknown("format", name, get_args(Format)))
    from search.operations import export_sweep

    for made in export_sweep(paths, formats=formats, out=args.out):
        print(
            f"{made.format}: {made.mib:.1f} MiB, {made.latency_ms:.1f} ms for an image, largest "
            f"difference in logits {made.difference:.1e}"
        )
    print(f"Export: {args.out or paths.export}")


def predict(args: argparse.Namespace) -> None:
    """An export's answers."""
    from trainables.data import image_files

    if args.top < 1:
        raise ConfigError(f"--top must be 1 or more, not {args.top}.")
    _check_file("--out", args.out, TABLES)
    files = [file for path in args.images for file in image_files(path)]
    from trainables.inference import Predictor

    predictor = Predictor.load(args.export)
    if args.grad_cam and predictor.model is None:
        raise ConfigError(
            "--grad-cam needs the timm folder of an export, which an ensemble and a head with a "
            "hidden layer have none of; leave it out."
        )
    answers, labels = predictor.answers(files, _progress()), predictor.spec.labels
    for file, reason in answers.unreadable.items():
        print(f"{file} can't be read and is left out: {reason}.", file=sys.stderr)
    if not answers.files:
        raise ConfigError("None of the images can be read; give image files or folders of them.")
    if args.out:
        _write_answers(answers, predictor.spec, args.out)
    else:
        best = predictor.spec.answers(answers.probabilities)
        for file, row, first in zip(answers.files, answers.probabilities, best, strict=True):
            rest = [k for k in row.argsort()[::-1] if k != first]
            top = [first, *rest][: args.top]
            print(f"{file}\t" + "\t".join(f"{labels[k]} {row[k]:.4f}" for k in top))
    if args.grad_cam:
        predictor.draw_grad_cams(answers, args.grad_cam, _progress())


def _write_answers(answers: "Answers", spec: "ModelSpec", out: Path) -> None:
    import pandas as pd

    from trainables.evaluation import probability_columns

    labels, ending = spec.labels, out.suffix.lower()
    best = [labels[k] for k in spec.answers(answers.probabilities)]
    table = pd.DataFrame(
        {"path": list(map(str, answers.files)), "predicted": best}
        | probability_columns(answers.probabilities, labels)
    )
    if ending == ".csv":
        table.to_csv(out, index=False)
    elif ending == ".json":
        table.to_json(out, orient="records", indent=2, force_ascii=False)
    else:
        table.to_parquet(out, index=False)


def _check_file(flag: str, file: Path | None, endings: Sequence[str] = ()) -> None:
    """Raises `ConfigError` for one that can't be written: what it is to hold may take long."""
    if file is None:
        return
    if endings and file.suffix.lower() not in endings:
        raise ConfigError(f"{flag} ends in one of {', '.join(endings)}, not {file.suffix!r}.")
    if file.is_dir() or not file.absolute().parent.is_dir():
        what = "is a folder" if file.is_dir() else f"lies in {file.parent}, which does not exist"
        raise ConfigError(f"{flag} {file} {what}; name a file in a folder that is there.")


def _show(result: "SweepResult", config: SweepConfig) -> None:
    from search.cli.output import result_words

    _show_trials(result.trials, config.metric, config.objectives, shown=len(result.trials))
    print(result_words(result, config))


def _show_trials(
    table: "pd.DataFrame", metric: str, objectives: "Sequence[Objective]", *, shown: int
) -> None:
    from search.cli.output import print_table
    from search.ranking import leaderboard_columns, pareto_front

    print_table(leaderboard_columns(table, metric).head(shown))
    if objectives and not table.empty:
        print("None of the trials beats these in everything:")
        print_table(leaderboard_columns(pareto_front(table, metric, objectives), metric))


def _progress() -> Callable[[str, int, int], None]:
    from search.cli.terminal_progress import terminal_progress

    return terminal_progress()
