"""Arguments of each command, and the call of its function in `search.cli.commands`."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from search.cli import commands
from search.cli.flags import add_setting_flags, config_from_arguments, settings_from_flags
from search.config import RESUMABLE_SETTINGS, RETRAIN_SETTINGS, Format
from spaces import ConfigError


@dataclass(frozen=True)
class Command:
    """A command of the command line."""

    name: str
    summary: str
    """One sentence for the help."""
    add_arguments: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], None]
    usage: str | None = None
    """Usage line of the help; None for argparse's own line, which lists every flag."""


def _add_plan(parser: ArgumentParser) -> None:
    _add_config_file(parser)
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_argument(
        "--augment-preview",
        metavar="FILE.png",
        type=Path,
        help="Draw training images at several augmentation strengths.",
    )
    parser.add_argument(
        "--contact-sheet",
        metavar="FILE.png",
        type=Path,
        help="Draw some images of each class and split, as the model gets them.",
    )
    add_setting_flags(parser, data_is_positional=True)


def _plan(arguments: Namespace) -> None:
    commands.plan(
        config_from_arguments(arguments),
        as_json=arguments.json,
        augment_preview=arguments.augment_preview,
        contact_sheet=arguments.contact_sheet,
    )


def _add_launch(parser: ArgumentParser) -> None:
    _add_config_file(parser)
    add_setting_flags(parser, data_is_positional=True)


def _launch(arguments: Namespace) -> None:
    commands.launch(config_from_arguments(arguments), config_file=arguments.config)


def _add_resume(parser: ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="Name, folder or s3://BUCKET/PREFIX/SWEEP.")
    _add_results_dir(parser)
    add_setting_flags(parser, shown=RESUMABLE_SETTINGS, without=("results_dir",))


def _resume(arguments: Namespace) -> None:
    commands.resume(arguments.sweep, arguments.results_dir, changes=_changes(arguments))


def _add_preflight(parser: ArgumentParser) -> None:
    shown = ("address", "cache_dir", "cache_gib")
    add_setting_flags(parser, shown=shown, without=("data", "results_dir"))


def _preflight(arguments: Namespace) -> None:
    commands.preflight(settings_from_flags(arguments))


def _add_submit(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--address", metavar="URL", required=True, help="Ray's job server: http://HEAD:8265."
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="Return at once, without following the log."
    )
    parser.add_argument(
        "inner",
        metavar="COMMAND ...",
        nargs=argparse.REMAINDER,
        help=f"One of {', '.join(commands.SUBMITTABLE)}, with flags; paths are those of the head.",
    )


def _submit(arguments: Namespace) -> None:
    inner: list[str] = arguments.inner
    if not inner or inner[0] not in commands.SUBMITTABLE:
        raise ConfigError(
            f"submit needs one of {', '.join(commands.SUBMITTABLE)}, and got "
            f"{inner[0] if inner else 'no command'}; see finesweep submit --help."
        )
    parsed = arguments.parse(inner)
    name, config_file = "cluster", None
    if parsed.command == "launch":
        name, config_file = config_from_arguments(parsed).name, parsed.config
        inner = [*inner, "--name", name]
    elif parsed.command == "resume":
        name = Path(parsed.sweep).name
    commands.submit(
        arguments.address,
        inner,
        job_name=f"{parsed.command}-{name}-{datetime.now():%Y%m%d-%H%M%S}",
        config_file=config_file,
        wait=not arguments.no_wait,
    )


def _add_compare(parser: ArgumentParser) -> None:
    parser.add_argument("sweeps", nargs="+", metavar="SWEEP", help="Names or folders of sweeps.")
    _add_results_dir(parser)
    parser.add_argument("--top", metavar="N", type=int, help="Show the best N trials only.")
    parser.add_argument(
        "--where",
        metavar="EXPR",
        help='Show only trials for which EXPR is true, such as "unfreeze > 0.5 and '
        "status == 'completed'\".",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        type=Path,
        help="Write the trials to a CSV file: all, or those of --where; --top does not limit them.",
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    board = parser.add_mutually_exclusive_group()
    board.add_argument(
        "--dashboard",
        dest="board",
        action="store_const",
        const="dashboard",
        help="Serve optuna-dashboard to this machine only.",
    )
    board.add_argument(
        "--tensorboard",
        dest="board",
        action="store_const",
        const="tensorboard",
        help="Serve TensorBoard to this machine only.",
    )


def _compare(arguments: Namespace) -> None:
    commands.compare(
        arguments.sweeps,
        arguments.results_dir,
        where=arguments.where,
        top=arguments.top,
        csv=arguments.csv,
        as_json=arguments.json,
        board=arguments.board,
    )


def _add_report(parser: ArgumentParser) -> None:
    _add_sweep(parser)
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="File to write [report.html in the sweep]."
    )


def _report(arguments: Namespace) -> None:
    commands.report(arguments.sweep, arguments.results_dir, out=arguments.out)


def _add_retrain(parser: ArgumentParser) -> None:
    _add_sweep(parser)
    parser.add_argument(
        "--trial",
        metavar="ID",
        help="Trial to retrain in place of the winner, alone: --ensemble does not apply.",
    )
    add_setting_flags(parser, shown=RETRAIN_SETTINGS, without=("results_dir",))


def _retrain(arguments: Namespace) -> None:
    commands.retrain(
        arguments.sweep,
        arguments.results_dir,
        trial=arguments.trial,
        changes=_changes(arguments),
    )


def _add_export(parser: ArgumentParser) -> None:
    _add_sweep(parser)
    parser.add_argument(
        "--formats",
        metavar="A,B",
        help=f"Formats to write, from {','.join(get_args(Format))} [those of the launch].",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="Folder to write to [export/ in the sweep]."
    )


def _export(arguments: Namespace) -> None:
    formats = arguments.formats.split(",") if arguments.formats else None
    commands.export(arguments.sweep, arguments.results_dir, formats=formats, out=arguments.out)


def _add_predict(parser: ArgumentParser) -> None:
    parser.add_argument(
        "export",
        metavar="EXPORT_DIR",
        type=Path,
        help="Folder of an export, or its .onnx or .pt2 file.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        type=Path,
        help="Images, folders, tar archives or Parquet files.",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help=f"Write all probabilities to a table: {', '.join(commands.TABLE_SUFFIXES)}.",
    )
    parser.add_argument(
        "--grad-cam", metavar="DIR", type=Path, help="Draw a Grad-CAM heat map of each image."
    )
    parser.add_argument(
        "--top", metavar="K", type=int, default=1, help="Number of classes to print [1]."
    )


def _predict(arguments: Namespace) -> None:
    commands.predict(
        arguments.export,
        arguments.images,
        out=arguments.out,
        grad_cam=arguments.grad_cam,
        top=arguments.top,
    )


def _add_config_file(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE.toml", type=Path, help="File of settings; flags override it."
    )


def _add_sweep(parser: ArgumentParser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="Name or folder of a sweep.")
    _add_results_dir(parser)


def _add_results_dir(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--results-dir",
        metavar="DIR",
        type=Path,
        default=Path("results"),
        help="Folder that holds the sweeps given by name [results].",
    )


def _changes(arguments: Namespace) -> dict[str, Any]:
    """Settings to change in a launched sweep."""
    given = settings_from_flags(arguments)
    given.pop("results_dir")  # only locates the sweep
    return given


_SETTINGS_USAGE = "%(prog)s [DATA] [--config FILE.toml] [FLAGS]"

COMMANDS = (
    Command(
        "plan",
        "Show what a launch would do with the data and the space; trains nothing.",
        _add_plan,
        _plan,
        usage=_SETTINGS_USAGE,
    ),
    Command(
        "launch",
        "Run a sweep, then retrain the winner, test it once and export it.",
        _add_launch,
        _launch,
        usage=_SETTINGS_USAGE,
    ),
    Command(
        "resume",
        "Continue a sweep that was interrupted, or give it more trials.",
        _add_resume,
        _resume,
    ),
    Command(
        "preflight",
        "Check each machine of a cluster: packages, GPUs, cache; runs no trial.",
        _add_preflight,
        _preflight,
    ),
    Command(
        "submit",
        "Run a command on the head of a cluster, through Ray's job server.",
        _add_submit,
        _submit,
    ),
    Command("compare", "Rank the trials of one or several sweeps.", _add_compare, _compare),
    Command("report", "Write the report of a sweep, even while it runs.", _add_report, _report),
    Command(
        "retrain",
        "Retrain, test and export the winner of a sweep, or another trial of it.",
        _add_retrain,
        _retrain,
    ),
    Command("export", "Export the retrained model of a sweep again.", _add_export, _export),
    Command("predict", "Classify images with an export.", _add_predict, _predict),
)
"""Commands, in the order of the help."""
