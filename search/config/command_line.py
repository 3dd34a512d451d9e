"""Settings in a TOML file, and settings as arguments of the command line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.config.settings import Setting, SweepConfig, all_settings
from spaces import ConfigError

_LOCATIONS = ("data", "name", "results_dir", "cache_dir", "storage_path", "mlflow", "address")
"""Settings that differ between machines or sweeps: locations, and the sweep's name."""


def read_toml(file: Path) -> dict[str, Any]:
    """Read the settings in a TOML file, without checking them.

    Raises `ConfigError` if the file is missing or is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"The config file {file} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {file} is not valid TOML: {error}.") from None


def overlay(base: Mapping[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of the nested ``base``; ``dotted`` replaces or adds values by their dotted names."""
    merged = {key: dict(v) if isinstance(v, dict) else v for key, v in base.items()}
    for name, value in dotted.items():
        *tables, key = name.split(".")
        table = merged
        for nested in tables:
            table = table.setdefault(nested, {})
        table[key] = value
    return merged


def launch_arguments(config: SweepConfig) -> list[str]:
    """Arguments of ``finesweep launch`` that give the settings in ``config``.

    Defaults, the sweep's name, and all locations except that of the data are left out.
    """
    arguments, values = [str(config.data)], config.model_dump(mode="json")
    has_budget = bool(config.time_budget or config.gpu_hours)
    for setting in all_settings():
        value = _value_at(values, setting.name)
        default = setting.field.default
        is_default = value == (list(default) if isinstance(default, tuple) else default)
        if setting.name == "trials" and has_budget:  # a budget changes the default of trials
            is_default = False
        if setting.name not in _LOCATIONS and not is_default:
            arguments += _flag_with_value(setting, value)
    return arguments


def _value_at(values: Mapping[str, Any], dotted_name: str) -> Any:
    value: Any = values
    for key in dotted_name.split("."):
        value = value[key]
    return value


def _flag_with_value(setting: Setting, value: Any) -> list[str]:
    if setting.is_switch:
        return [setting.flag if value else "--no-" + setting.flag.removeprefix("--")]
    if setting.is_table:
        value = [f"{name}={each}" for name, each in value.items()]
    return [setting.flag, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
