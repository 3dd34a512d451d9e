"""Settings as flags of the command line, and from a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from search.config import SweepConfig, overlay, read_toml, setting_fields
from spaces import preset_names

_METAVARS = {"trials": "N", "max_epochs": "E", "metric": "M", "image_size": "PX"}
_METAVARS |= {"gpus_per_trial": "X", "cpus_per_trial": "X", "concurrent": "N"}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, its documentation the field's own."""
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=SweepConfig.model_fields["data"].description
    )
    parser.add_argument("--config", metavar="FILE.toml", type=Path, help="Settings; flags win.")
    add_flags(parser)


def add_flags(parser: argparse.ArgumentParser, *, shown: Sequence[str] | None = None) -> None:
    """Flags that set nothing unless given; with ``shown``, the help keeps quiet of others."""
    for name, info in setting_fields():
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


def config_of(args: argparse.Namespace) -> SweepConfig:
    """The settings of a command: flags over the file over defaults. Raises `ConfigError`."""
    given = dict(read_toml(args.config)) if args.config else {}
    return SweepConfig.parse(overlay(given, flags_of(args)))


def flags_of(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given as flags, by dotted name."""
    known = dict(setting_fields())
    flags: dict[str, Any] = {}
    for name, value in vars(args).items():
        if name in known and value is not None:
            listed = str(known[name].annotation).startswith("tuple")
            flags[name] = value.split(",") if listed else value
    return flags
