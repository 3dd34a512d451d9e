"""What can be told of a launch in a moment, before torch and Ray are there."""

import json
from pathlib import Path

from search.config import SweepConfig
from search.record import SweepPaths
from spaces import ConfigError, SearchSpace
from trainables.data import check_source


def check_at_once(config: SweepConfig) -> None:
    """Look for the data, the space, the points, and a sweep of that name. Raises `UserError`."""
    paths = SweepPaths(config.results_dir / config.name)
    if paths.config.exists():
        raise ConfigError(
            f"The sweep {config.name!r} exists in {config.results_dir}: go on with it by "
            "'finesweep resume', see it by 'finesweep compare', or choose another --name."
        )
    if paths.root.exists():
        raise ConfigError(
            f"The folder {paths.root} exists and holds no sweep; remove it (a launch that was "
            "killed before its first trial leaves one) or choose another --name."
        )
    points = check_given(config)
    if len(points) > config.trials:
        raise ConfigError(
            f"{config.points} has {len(points)} points but trials is {config.trials}; "
            "raise trials or drop points."
        )
    for sweep in config.prior:
        SweepPaths.existing(sweep, config.results_dir)
    check_storage(config, paths)


def check_given(config: SweepConfig) -> list[dict[str, object]]:
    """Look for the data, the space and the points, and give the points. Raises `UserError`."""
    check_source(config.data, cache=config.cache_dir)
    SearchSpace.load(config.space)
    return read_points(config.points)


def read_points(file: Path | None) -> list[dict[str, object]]:
    """The points of a JSON file, unchecked but for their shape. Raises `ConfigError`."""
    if file is None:
        return []
    try:
        points = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"The points file {file} does not exist.") from None
    except ValueError as error:
        raise ConfigError(f"The points file {file} is not JSON: {error}.") from None
    if not isinstance(points, list) or not all(isinstance(p, dict) for p in points):
        raise ConfigError(
            f'The points file {file} must hold a list of objects, like [{{"unfreeze": 0.5}}].'
        )
    return points


def check_storage(config: SweepConfig, paths: SweepPaths) -> None:
    """See whether the store can be written that a sweep asks for. Raises `ConfigError`."""
    if config.storage_path:
        from search.record import Storage

        Storage(paths, config.storage_path).check()
