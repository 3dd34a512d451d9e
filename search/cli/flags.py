"""Flags for all settings, in groups, and the settings that flags and a TOML file give."""

import argparse
from collections.abc import Collection
from typing import Any

from search.config import GROUPS, Setting, SweepConfig, all_settings, overlay, read_toml
from spaces import ConfigError, preset_names

_METAVARS = {
    "trials": "N",
    "max_epochs": "E",
    "metric": "M",
    "fix": "NAME=VALUE",
    "gpus_per_trial": "X",
    "cpus_per_trial": "X",
    "concurrent": "N",
}
"""Placeholders of values in the help, for settings whose own name is a poor placeholder."""


def add_setting_flags(
    parser: argparse.ArgumentParser,
    *,
    shown: Collection[str] | None = None,
    without: Collection[str] = (),
    data_is_positional: bool = False,
) -> None:
    """Add a flag for every setting except those in ``without``, in the groups of the settings.

    A flag that is not given leaves no value in the namespace. With ``shown``, the help lists only
    these settings. Flags of the other settings are still accepted, so that a command can explain
    why it refuses them.
    """
    settings = [setting for setting in all_settings() if setting.name not in without]
    is_shown = {setting.name: shown is None or setting.name in shown for setting in settings}
    for group in GROUPS:
        members = [setting for setting in settings if setting.group is group]
        section: argparse._ActionsContainer = parser
        if any(is_shown[setting.name] for setting in members):
            section = parser.add_argument_group(group.TITLE, description=group.__doc__)
        for setting in members:
            if setting.name == "data" and data_is_positional:
                help_text = _help(setting, with_default=False)
                section.add_argument("data", metavar="DATA", nargs="?", help=help_text)
            elif is_shown[setting.name]:
                _add_flag(section, setting, _help(setting, with_default=shown is None))
            else:
                _add_flag(section, setting, argparse.SUPPRESS)
            if setting.name == "time_budget":
                _add_minutes(section, is_shown=is_shown[setting.name])


def _add_flag(section: argparse._ActionsContainer, setting: Setting, help_text: str) -> None:
    """Add the flag of a setting; ``argparse.SUPPRESS`` as help text hides the flag."""
    if setting.is_switch:
        section.add_argument(
            setting.flag,
            dest=setting.name,
            action=argparse.BooleanOptionalAction,
            default=argparse.SUPPRESS,
            help=help_text,
        )
    else:
        section.add_argument(
            setting.flag,
            dest=setting.name,
            action="append" if setting.is_table else "store",
            metavar=_metavar(setting),
            default=argparse.SUPPRESS,
            help=help_text,
        )


def _add_minutes(section: argparse._ActionsContainer, *, is_shown: bool) -> None:
    """Add ``--minutes``, a short way to give ``time_budget``."""
    section.add_argument(
        "--minutes",
        dest="time_budget",
        type="{}m".format,
        metavar="M",
        default=argparse.SUPPRESS,
        help="The time budget in minutes: --minutes 5 is --time-budget 5m."
        if is_shown
        else argparse.SUPPRESS,
    )


def _metavar(setting: Setting) -> str:
    return _METAVARS.get(setting.name, setting.name.rpartition(".")[2].upper())


def _help(setting: Setting, *, with_default: bool) -> str:
    """Help text of a setting: its documentation, default, choices and presets."""
    sentences = [str(setting.field.description)]
    if with_default and not setting.is_switch:
        sentences.append(f"[{_default(setting)}]")
    if setting.choices:
        sentences.append(f"One of {', '.join(setting.choices)}.")
    if setting.name == "space":
        sentences.append(f"Presets: {', '.join(preset_names())}.")
    return " ".join(sentences).replace("%", "%%")


def _default(setting: Setting) -> str:
    default = setting.field.default
    if default is None or default in ("", (), {}):
        return "unset"
    return ",".join(default) if isinstance(default, tuple) else str(default)


def config_from_arguments(arguments: argparse.Namespace) -> SweepConfig:
    """Settings of a command: flags over ``--config`` over defaults. Raises `ConfigError`."""
    in_file = read_toml(arguments.config) if arguments.config else {}
    return SweepConfig.parse(overlay(in_file, settings_from_flags(arguments)))


def settings_from_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings that were given as flags, by dotted name: ``fix.augment`` for ``--fix augment=0``.

    Raises `ConfigError` if a flag that takes NAME=VALUE has something else.
    """
    known = {setting.name: setting for setting in all_settings()}
    given: dict[str, Any] = {}
    for name, value in vars(arguments).items():
        if name not in known or value is None:
            continue
        if known[name].is_table:
            pairs = [pair for flag in value for pair in flag.split(",")]
            given |= {f"{name}.{key}": text for key, text in map(_name_and_value, pairs)}
        else:
            given[name] = value.split(",") if known[name].is_list else value
    return given


def _name_and_value(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name.strip() and equals and value.strip()):
        raise ConfigError(f"--fix needs NAME=VALUE, such as fit=letterbox, not {pair!r}.")
    return name.strip(), value.strip()
