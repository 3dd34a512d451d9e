"""The command line: its words, and how mistakes and faults are told."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, get_args

from search.cli import commands as run
from search.cli.commands import DONE, FAULT, MISTAKE
from search.cli.flags import add_flags, add_settings
from search.config import HANDED_OVER, RESUMABLE, Format
from search.record import version_of
from spaces import ConfigError, RunError, UserError
from spaces.errors import unknown


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
    # Threads of a retraining that wait for one another should not spin for long: with a neighbour
    # on one of two cores it is 1.7 times as fast, with two 3 times, and alone no slower.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
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
    if args.version:
        print(f"finesweep {version_of('finesweep')}")
    elif args.command is None:
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
    parser.add_argument("--version", action="store_true", help="Print it and exit.")
    added = parser.add_subparsers(dest="command", parser_class=_Parser, metavar="COMMAND")
    commands: dict[str, _Parser] = {}

    def command(name: str, handle: Callable[[argparse.Namespace], None], doc: str) -> _Parser:
        commands[name] = added.add_parser(name, help=doc, description=doc, allow_abbrev=False)
        commands[name].set_defaults(handle=handle)
        return commands[name]

    plan = command(
        "plan", run.plan, "Say what was understood of the data and the space; train nothing."
    )
    add_settings(plan)
    plan.add_argument("--json", action="store_true", help="Print one JSON document.")
    plan.add_argument("--augment-preview", metavar="FILE.png", type=Path, help="Draw augmentation.")
    launch = command("launch", run.launch, "Sweep, retrain the winner, test it once, export it.")
    add_settings(launch)
    resume = command(
        "resume", run.resume, "Go on with a sweep that was broken off, or give it more trials."
    )
    resume.add_argument("sweep", metavar="SWEEP", help="Name, folder, or s3://BUCKET/PREFIX/SWEEP.")
    resume.add_argument(
        "--data", metavar="DATA", default=argparse.SUPPRESS, help="Where the images lie by now."
    )
    add_flags(resume, shown=RESUMABLE)

    flight = command(
        "preflight", run.preflight, "Say what each machine of a cluster is like; run nothing."
    )
    add_flags(flight, shown=("address", "cache_dir", "cache_gib"))

    job = command("submit", run.submit, "Run a command on a cluster's head, by Ray's job server.")
    job.set_defaults(parse=_parsed)
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
        help=f"{', '.join(run.ON_CLUSTERS)}, with its flags; paths are the head's.",
    )

    compare = command("compare", run.compare, "Rank the trials of one or several sweeps.")
    compare.add_argument("sweeps", nargs="+", metavar="SWEEP", help="Names or folders.")
    compare.add_argument("--top", metavar="N", type=int, help="Show the best N alone.")
    compare.add_argument(
        "--where",
        metavar="EXPR",
        help="Show trials for which it holds: \"unfreeze > 0.5 and status == 'completed'\".",
    )
    compare.add_argument("--csv", metavar="FILE", type=Path, help="Write all of them.")
    compare.add_argument("--json", action="store_true", help="Print one JSON document.")
    board = compare.add_mutually_exclusive_group()
    board.add_argument(
        "--dashboard", action="store_true", help="Serve optuna-dashboard on this machine alone."
    )
    board.add_argument(
        "--tensorboard", action="store_true", help="Serve the runs on this machine alone."
    )
    page = command("report", run.report, "Write one page of what a sweep found, by now.")
    page.add_argument("sweep", metavar="SWEEP")
    page.add_argument("--out", metavar="FILE", type=Path, help="Page to write; report.html there.")
    again = command(
        "retrain", run.retrain, "Retrain, test and export a sweep's winner or one trial."
    )
    again.add_argument("sweep", metavar="SWEEP")
    again.add_argument("--trial", metavar="ID", help="A trial's id instead of the winner's.")
    add_flags(again, shown=HANDED_OVER)
    hand = command("export", run.export, "Export a sweep's retrained model again.")
    hand.add_argument("sweep", metavar="SWEEP")
    hand.add_argument(
        "--formats", metavar="A,B", help=f"Some of {','.join(get_args(Format))}; as launched."
    )
    hand.add_argument("--out", metavar="DIR", type=Path, help="Folder to write to.")
    for sub in (resume, compare, page, again, hand):
        sub.add_argument("--results-dir", metavar="DIR", type=Path, default=Path("results"))
    predict = command("predict", run.predict, "Classify images with an export.")
    predict.add_argument("export", metavar="EXPORT_DIR", type=Path)
    predict.add_argument("images", nargs="+", metavar="IMAGES", type=Path, help="Files or folders.")
    predict.add_argument(
        "--out", metavar="FILE", type=Path, help=f"Write a table: {', '.join(run.TABLES)}."
    )
    predict.add_argument(
        "--grad-cam", metavar="DIR", type=Path, help="Draw where the model looks, for each image."
    )
    predict.add_argument("--top", metavar="K", type=int, default=1, help="Classes an image.")
    return parser, commands
