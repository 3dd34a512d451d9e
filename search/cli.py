"""The command line. Thin: flags to settings, results to words; heavy imports live in commands."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

from search.config import RESUMABLE, Format, SweepConfig, overlay
from search.flags import add_flags, add_settings, config_of, flags_of
from search.paths import SweepPaths
from spaces import ConfigError, RunError, UserError
from spaces.errors import unknown

if TYPE_CHECKING:
    from search.profile import StageClock
    from search.result import SweepResult
    from search.sweep import Sweep

DONE, FAULT, MISTAKE = 0, 1, 2
"""Exit statuses: done; anything unforeseen; the user's mistake, told in one sentence."""

_ON_CLUSTERS = ("launch", "resume", "preflight")
"""Commands that can be submitted."""


class _Parser(argparse.ArgumentParser):
    """Tells mistakes as `UserError`, and the nearest flag."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message[0].upper() + message[1:] + f"; see {self.prog} --help.")

    @property
    def flags(self) -> list[str]:
        """Every long flag it knows."""
        return [f for action in self._actions for f in action.option_strings if f[:2] == "--"]


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit."""
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING if sys.stderr.isatty() else logging.INFO)
    shown.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger("finesweep").addHandler(shown)
    try:
        _run(list(sys.argv[1:] if argv is None else argv))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(MISTAKE)
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(FAULT)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(FAULT)
    except BrokenPipeError:
        sys.exit(FAULT)
    sys.exit(DONE)


def _run(argv: list[str]) -> None:
    args = _parsed(argv)
    if args.command is None:
        _parsers()[0].print_help()
    else:
        args.handle(args)


def _parsed(argv: list[str]) -> argparse.Namespace:
    """The words as arguments. Raises `ConfigError`."""
    parser, commands = _parsers()
    names = [word for word in argv if not word.startswith("-")]
    if names and names[0] not in commands and argv[0] == names[0]:
        raise ConfigError(unknown("command", names[0], commands))
    args, extra = parser.parse_known_args(argv)
    if extra:
        flag = extra[0].partition("=")[0]
        if flag.startswith("-"):
            raise ConfigError(unknown("flag", flag, commands.get(args.command, parser).flags))
        raise ConfigError(f"Unexpected argument {flag!r}; see finesweep {args.command} --help.")
    return args


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    parser = _Parser(
        prog="finesweep",
        description="Finds the best fine-tuned image classifier for your own images.",
        allow_abbrev=False,
    )
    added = parser.add_subparsers(dest="command", parser_class=_Parser, metavar="COMMAND")
    commands: dict[str, _Parser] = {}

    def command(name: str, handle: Callable[[argparse.Namespace], None], doc: str) -> _Parser:
        commands[name] = added.add_parser(name, help=doc, description=doc, allow_abbrev=False)
        commands[name].set_defaults(handle=handle)
        return commands[name]

    plan = command(
        "plan", _plan, "Say what was understood of the data and the space; train nothing."
    )
    add_settings(plan)
    plan.add_argument("--json", action="store_true", help="Print one JSON document.")
    plan.add_argument("--augment-preview", metavar="FILE.png", type=Path, help="Draw augmentation.")
    launch = command("launch", _launch, "Sweep, retrain the winner, test it once, export it.")
    add_settings(launch)
    resume = command(
        "resume", _resume, "Go on with a sweep that was broken off, or give it more trials."
    )
    resume.add_argument("sweep", metavar="SWEEP", help="Name, folder, or s3://BUCKET/PREFIX/SWEEP.")
    resume.add_argument(
        "--data", metavar="DATA", default=argparse.SUPPRESS, help="Where the images lie by now."
    )
    add_flags(resume, shown=RESUMABLE)

    flight = command(
        "preflight", _preflight, "Say what each machine of a cluster is like; run nothing."
    )
    add_flags(flight, shown=("address", "cache_dir", "cache_gib"))

    job = command("submit", _submit, "Run a command on a cluster's head, by Ray's job server.")
    job.add_argument(
        "--address", metavar="URL", required=True, help="The job server: http://HEAD:8265."
    )
    job.add_argument(
        "--no-wait", action="store_true", help="Return at once, without following the log."
    )
    job.add_argument(
        "words",
        metavar="COMMAND ...",
        nargs=argparse.REMAINDER,
        help=f"{', '.join(_ON_CLUSTERS)}, with its flags; paths are the head's.",
    )

    compare = command("compare", _compare, "Rank the trials of one or several sweeps.")
    compare.add_argument("sweeps", nargs="+", metavar="SWEEP", help="Names or folders.")
    compare.add_argument("--csv", metavar="FILE", type=Path, help="Write the whole table.")
    compare.add_argument("--json", action="store_true", help="Print one JSON document.")
    compare.add_argument(
        "--tensorboard", action="store_true", help="Serve the runs on this machine alone."
    )
    again = command("retrain", _retrain, "Retrain, test and export a sweep's winner or one trial.")
    again.add_argument("sweep", metavar="SWEEP")
    again.add_argument("--trial", metavar="ID", help="A trial's id instead of the winner's.")
    hand = command("export", _export, "Export a sweep's retrained model again.")
    hand.add_argument("sweep", metavar="SWEEP")
    hand.add_argument(
        "--formats", metavar="A,B", help=f"Some of {','.join(get_args(Format))}; as launched."
    )
    hand.add_argument("--out", metavar="DIR", type=Path, help="Folder to write to.")
    for sub in (resume, compare, again, hand):
        sub.add_argument("--results-dir", metavar="DIR", type=Path, default=Path("results"))
    predict = command("predict", _predict, "Classify images with an export.")
    predict.add_argument("export", metavar="EXPORT_DIR", type=Path)
    predict.add_argument("images", nargs="+", metavar="IMAGES", type=Path, help="Files or folders.")
    predict.add_argument("--csv", metavar="FILE", type=Path, help="Write a table.")
    predict.add_argument("--top", metavar="K", type=int, default=1, help="Classes an image.")
    return parser, commands


def _plan(args: argparse.Namespace) -> None:
    config = config_of(args)
    from search.draft import draft_plan
    from search.plan import backbone_facts, draw_augmentation, make_plan, plan_document
    from search.words import plan_words

    plan = make_plan(draft_plan(config), _progress())
    document = plan_document(plan, backbone_facts(plan))
    if args.augment_preview:
        draw_augmentation(plan.survey.dataset, args.augment_preview)
    print(json.dumps(document, indent=2) if args.json else plan_words(document))


def _launch(args: argparse.Namespace) -> None:
    config = config_of(args)
    from search.checks import check_at_once
    from search.profile import StageClock

    clock = StageClock()
    check_at_once(config)
    _start(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, given=args.config, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.run)


def _resume(args: argparse.Namespace) -> None:
    changes = {name: value for name, value in flags_of(args).items() if name != "results_dir"}
    if "://" in args.sweep:
        from search.storage import bring_sweep

        paths, storage_path = bring_sweep(args.sweep, args.results_dir)
        changes.setdefault("storage_path", storage_path)
    else:
        paths = SweepPaths.existing(args.sweep, args.results_dir)
    from search.checks import config_to_resume
    from search.profile import StageClock

    clock = StageClock()
    config = config_to_resume(paths, changes)
    _start(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.resume)


def _preflight(args: argparse.Namespace) -> None:
    config = SweepConfig.parse(overlay({"data": "."}, flags_of(args)))
    from search.cluster import start_ray
    from search.preflight import preflight, warnings

    start_ray(config.address)
    machines = preflight(config.cache_dir)
    for line in [*map(str, machines), *warnings(machines, config.cache_gib)]:
        print(line)


def _submit(args: argparse.Namespace) -> None:
    words = args.words
    if not words or words[0] not in _ON_CLUSTERS:
        raise ConfigError(
            f"After submit and its flags comes one of {', '.join(_ON_CLUSTERS)}, not "
            f"{words[0] if words else 'nothing'}; see finesweep submit --help."
        )
    inner = _parsed(words)
    name, settings_file = "cluster", None
    if inner.command == "launch":
        name, settings_file = config_of(inner).name, inner.config
        words = [*words, "--name", name]
    elif inner.command == "resume":
        name = Path(inner.sweep).name
    from search.submit import follow, submit

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

    with clock.stage("start"):
        start_ray_beside_importing("search.sweep", config.address)


def _run_sweep(sweep: "Sweep", run: "Callable[[], SweepResult]") -> None:
    from search.words import how_to_resume

    try:
        result = run()
    except KeyboardInterrupt:
        if not sweep.paths.config.exists():
            raise
        raise RunError(f"Stopped; nothing is lost. Go on:  {how_to_resume(sweep.paths)}") from None
    _show(result, sweep.config)
    if result.unfinished:
        sys.exit(FAULT)


def _compare(args: argparse.Namespace) -> None:
    import pandas as pd

    from search.leaderboard import columns, rank, trial_table
    from search.study import read_trials
    from search.words import print_table

    found = [SweepPaths.existing(name, args.results_dir) for name in args.sweeps]
    configs = [json.loads(paths.config.read_text(encoding="utf-8")) for paths in found]
    metric = configs[0]["metric"]
    if any(config["metric"] != metric for config in configs):
        print(f"The sweeps have different metrics; all are ranked by {metric}.", file=sys.stderr)
    tables = [
        trial_table(read_trials(paths.journal), metric).assign(sweep=paths.root.name)
        for paths in found
    ]
    begun = [table for table in tables if not table.empty]
    if not begun:
        raise ConfigError(f"No trial of {', '.join(args.sweeps)} has begun yet; wait for one.")
    table = rank(pd.concat(begun, ignore_index=True), metric)
    if args.csv:
        table.to_csv(args.csv, index=False)
    if args.json:
        print(table.to_json(orient="records", indent=2, double_precision=15))
    else:
        print_table(columns(table, metric))
    if args.tensorboard:
        _serve_tensorboard(found)


def _serve_tensorboard(found: Sequence[SweepPaths]) -> None:
    from tensorboard import program

    board = program.TensorBoard()
    spec = ",".join(f"{p.root.name}:{p.tensorboard}" for p in found)
    logdir = ["--logdir", str(found[0].tensorboard)] if len(found) == 1 else ["--logdir_spec", spec]
    board.configure(argv=[None, *logdir, "--host", "127.0.0.1"])
    board.main()


def _retrain(args: argparse.Namespace) -> None:
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    from search.checks import load_config
    from search.handover import retrain_sweep

    _show(retrain_sweep(paths, trial=args.trial, progress=_progress()), load_config(paths))


def _export(args: argparse.Namespace) -> None:
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    formats = args.formats.split(",") if args.formats else None
    for name in formats or []:
        if name not in get_args(Format):
            raise ConfigError(unknown("format", name, get_args(Format)))
    from search.handover import export_sweep

    differences = export_sweep(paths, formats=formats, out=args.out)
    for name, difference in differences.items():
        print(f"{name}: largest difference in logits {difference:.1e}")
    print(f"Export: {args.out or paths.export}")


def _predict(args: argparse.Namespace) -> None:
    from trainables.predict import Predictor
    from trainables.sources import image_files

    files = [file for path in args.images for file in image_files(path)]
    if args.top < 1:
        raise ConfigError(f"--top must be 1 or more, not {args.top}.")
    predictor = Predictor.load(args.export)
    answers, labels = predictor.answers(files), predictor.spec.labels
    for file, reason in answers.unreadable.items():
        print(f"{file} can't be read and is left out: {reason}.", file=sys.stderr)
    if not answers.files:
        raise ConfigError("None of the images can be read; give image files or folders of them.")
    if args.csv:
        import pandas as pd

        best = [labels[k] for k in answers.probabilities.argmax(axis=1)]
        table = pd.DataFrame({"path": list(map(str, answers.files)), "predicted": best})
        for k, label in enumerate(labels):
            table[f"p.{label}"] = answers.probabilities[:, k]
        table.to_csv(args.csv, index=False)
        return
    for file, row in zip(answers.files, answers.probabilities, strict=True):
        top = row.argsort()[::-1][: args.top]
        print(f"{file}\t" + "\t".join(f"{labels[k]} {row[k]:.4f}" for k in top))


def _show(result: "SweepResult", config: SweepConfig) -> None:
    from search.leaderboard import columns
    from search.words import print_table, result_words

    print_table(columns(result.trials, config.metric))
    print(result_words(result, config))


def _progress() -> Callable[[str, int, int], None]:
    from search.progress import terminal_progress

    return terminal_progress()
