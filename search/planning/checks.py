"""Checks of a launch that take a moment, before torch and Ray are imported."""

import json
from dataclasses import dataclass
from pathlib import Path

from search.config import SweepConfig
from search.record import SweepPaths
from spaces import ConfigError, SearchSpace
from trainables.data import check_source


@dataclass(frozen=True)
class CheckedInputs:
    """Inputs of a launch that were found and read, so that nobody reads them again."""

    space: SearchSpace
    points: list[dict[str, object]]
    """Given points, as they stand in their file."""


def check_launch(config: SweepConfig) -> CheckedInputs:
    """Check the inputs of a new sweep, and that its folder and its object store can be written.

    Raises `UserError`.
    """
    paths = SweepPaths(config.results_dir / config.name)
    if paths.config.exists():
        raise ConfigError(
            f"The sweep {config.name!r} exists in {config.results_dir}: continue it with "
            "'finesweep resume', see it with 'finesweep compare', or choose another --name."
        )
    if paths.root.exists():
        raise ConfigError(
            f"The folder {paths.root} exists and holds no sweep; remove it (a launch that was "
            "killed before its first trial leaves one) or choose another --name."
        )
    inputs = check_inputs(config)
    if len(inputs.points) > config.trials:
        raise ConfigError(
            f"{config.points} has {len(inputs.points)} points but trials is {config.trials}; "
            "raise trials or drop points."
        )
    for sweep in config.prior:
        SweepPaths.existing(sweep, config.results_dir)
    check_storage(config, paths)
    return inputs


def check_inputs(config: SweepConfig) -> CheckedInputs:
    """Check that the data are there, and read the space and the points. Raises `UserError`."""
    check_source(config.data, cache=config.cache_dir)
    return CheckedInputs(SearchSpace.load(config.space), read_points(config.points))


def read_points(file: Path | None) -> list[dict[str, object]]:
    """Read a JSON file of points, of which only the shape is checked; none without a file.

    Raises `ConfigError`.
    """
    if file is None:
        return []
    try:
        points = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"The points file {file} does not exist.") from None
    except ValueError as error:
        raise ConfigError(f"The points file {file} is not JSON: {error}.") from None
    if not isinstance(points, list) or not all(isinstance(point, dict) for point in points):
        raise ConfigError(
            f'The points file {file} must hold a list of objects, like [{{"unfreeze": 0.5}}].'
        )
    return points


def check_storage(config: SweepConfig, paths: SweepPaths) -> None:
    """Check that the object store of ``storage_path`` can be written. Raises `ConfigError`."""
    if config.storage_path:
        from search.record import Mirror

        Mirror(paths, config.storage_path).check()
