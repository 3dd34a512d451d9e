"""Settings as a file and as words of the command line."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.config.settings import SweepConfig, setting_fields
from spaces import ConfigError

_PLACES = ("data", "name", "results_dir", "cache_dir", "storage_path", "address")


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, unchecked. Raises `ConfigError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"The config file {path} does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {path} is not valid TOML: {error}.") from None


def overlay(base: dict[str, Any], dotted: Mapping[str, Any]) -> dict[str, Any]:
    """Nested ``base`` with values at dotted names put over it."""
    merged = {k: dict(v) if isinstance(v, dict) else v for k, v in base.items()}
    for name, value in dotted.items():
        *tables, last = name.split(".")
        place = merged
        for table in tables:
            place = place.setdefault(table, {})
        place[last] = value
    return merged


def launch_words(config: SweepConfig) -> list[str]:
    """The words of a launch with these settings, but for its name and where things lie."""
    words, given = [str(config.data)], config.model_dump(mode="json")
    for name, info in setting_fields():
        value: Any = given
        for part in name.split("."):
            value = value[part]
        usual = list(info.default) if isinstance(info.default, tuple) else info.default
        told = name == "trials" and (config.time_budget or config.gpu_hours)  # or it is unlimited
        if name in _PLACES or (value == usual and not told):
            continue
        flag = "--" + name.replace("_", "-")
        if info.annotation is bool:
            words.append(flag if value else "--no-" + flag.removeprefix("--"))
        else:
            words += [flag, ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    return words
