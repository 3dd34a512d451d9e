"""The command line. Thin: flags to settings, results to words; heavy imports live in commands."""

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args, get_origin

from search.config import RESUMABLE, Format, SweepConfig, overlay, read_toml, settings
from search.paths import SweepPaths
from spaces import ConfigError, RunError, UserError, preset_names
from spaces.errors import unknown

if TYPE_CHECKING:
    from search.profile import StageClock
    from search.sweep import Sweep, SweepResult

DONE, FAULT, MISTAKE = 0, 1, 2
"""Exit statuses: done; anything unforeseen; the user's mistake, told in one sentence."""

_METAVARS = {"trials": "N", "max_epochs": "E", "metric": "M", "image_size": "PX"}
_METAVARS |= {"gpus_per_trial": "X", "cpus_per_trial": "X", "concurrent": "N"}


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
    shown.setLevel(logging.WARNING)
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
    if args.command is None:
        parser.print_help()
        return
    args.handle(args)


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
    _add_settings(plan)
    plan.add_argument("--json", action="store_true", help="Print one JSON document.")
    plan.add_argument("--augment-preview", metavar="FILE.png", type=Path, help="Draw augmentation.")
    launch = command("launch", _launch, "Sweep, retrain the winner, test it once, export it.")
    _add_settings(launch)
    resume = command(
        "resume", _resume, "Go on with a sweep that was broken off, or give it more trials."
    )
    resume.add_argument("sweep", metavar="SWEEP")
    _add_flags(resume, shown=RESUMABLE)

    flight = command(
        "preflight", _preflight, "Say what each machine of a cluster is like; run nothing."
    )
    _add_flags(flight, shown=("address", "cache_dir", "cache_gib"))

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


def _add_settings(parser: _Parser) -> None:
    """A flag for every setting, its documentation the field's own."""
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=SweepConfig.model_fields["data"].description
    )
    parser.add_argument("--config", metavar="FILE.toml", type=Path, help="Settings; flags win.")
    _add_flags(parser)


def _add_flags(parser: _Parser, *, shown: Sequence[str] | None = None) -> None:
    """Flags that set nothing unless given; with ``shown``, the help keeps quiet of others."""
    for name, info in settings():
        if name == "data" or (shown and name == "results_dir"):
            continue
        flag, told = "--" + name.replace("_", "-"), shown is None or name in shown
        if info.annotation is bool:
            parser.add_argument(
                flag,
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=info.description if told else argparse.SUPPRESS,
            )
            continue
        default = "unset" if info.default is None else info.default
        if isinstance(default, tuple):
            default = ",".join(default)
        doc = f"{info.description} [{default!s}]" if shown is None else str(info.description)
        doc = doc.replace("%", "%%")
        if get_origin(info.annotation) is Literal:
            doc += f" One of {', '.join(get_args(info.annotation))}."
        if name == "space":
            doc += f" Presets: {', '.join(preset_names())}."
        metavar = _METAVARS.get(name, name.rpartition(".")[2].upper())
        doc = doc if told else argparse.SUPPRESS
        parser.add_argument(flag, dest=name, metavar=metavar, default=argparse.SUPPRESS, help=doc)


def _config(args: argparse.Namespace) -> SweepConfig:
    given = dict(read_toml(args.config)) if args.config else {}
    return SweepConfig.parse(overlay(given, _flags(args)))


def _flags(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by dotted name."""
    known = dict(settings())
    flags: dict[str, Any] = {}
    for name, value in vars(args).items():
        if name in known and value is not None:
            listed = str(known[name].annotation).startswith("tuple")
            flags[name] = value.split(",") if listed else value
    return flags


def _plan(args: argparse.Namespace) -> None:
    config = _config(args)
    from search.draft import draft_plan
    from search.plan import backbone_facts, draw_augmentation, make_plan, plan_document
    from search.words import plan_words

    plan = make_plan(draft_plan(config), _progress())
    document = plan_document(plan, backbone_facts(plan))
    if args.augment_preview:
        draw_augmentation(plan.survey.dataset, args.augment_preview)
    print(json.dumps(document, indent=2) if args.json else plan_words(document))


def _launch(args: argparse.Namespace) -> None:
    config = _config(args)
    from search.checks import check_at_once
    from search.profile import StageClock

    clock = StageClock()
    check_at_once(config)
    _start(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, given=args.config, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.run)


def _resume(args: argparse.Namespace) -> None:
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    changes = {name: value for name, value in _flags(args).items() if name != "results_dir"}
    from search.checks import config_to_resume
    from search.profile import StageClock

    clock = StageClock()
    config = config_to_resume(paths, changes)
    _start(config, clock)
    from search.sweep import Sweep

    sweep = Sweep(config, progress=_progress(), clock=clock)
    _run_sweep(sweep, sweep.resume)


def _preflight(args: argparse.Namespace) -> None:
    config = SweepConfig.parse(overlay({"data": "."}, _flags(args)))
    from search.cluster import start_ray
    from search.preflight import preflight, warnings

    start_ray(config.address)
    machines = preflight(config.cache_dir)
    for line in [*map(str, machines), *warnings(machines, config.cache_gib)]:
        print(line)


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
    from search.sweep import retrain_sweep

    _show(retrain_sweep(paths, trial=args.trial, progress=_progress()), load_config(paths))


def _export(args: argparse.Namespace) -> None:
    paths = SweepPaths.existing(args.sweep, args.results_dir)
    formats = args.formats.split(",") if args.formats else None
    for name in formats or []:
        if name not in get_args(Format):
            raise ConfigError(unknown("format", name, get_args(Format)))
    from search.sweep import export_sweep

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
    from search.words import terminal_progress

    return terminal_progress()
