"""Quick checks of a launch, made before torch and Ray are imported."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.config import SweepConfig
from search.record import SweepPaths, check_mlflow
from spaces import ConfigError, SearchSpace, without_hub_prefix
from trainables.data import check_source
from trainables.files import check_writable, printable


@dataclass(frozen=True)
class CheckedInputs:
    """Inputs of a launch that the checks have read, for later steps to use."""

    space: SearchSpace
    """The space, with the parameters fixed that the setting `fix` names."""
    points: list[dict[str, object]]
    """Points of the points file, not yet checked against the space."""


def check_launch(config: SweepConfig) -> CheckedInputs:
    """Check a new sweep: inputs, name, object store, MLflow.

    The inputs must be usable, the folder new, the object store writable, and MLflow must answer.
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
    check_folder("results_dir", config.results_dir)
    check_mlflow(config)
    return inputs


def check_inputs(config: SweepConfig) -> CheckedInputs:
    """Check the data, and read the space and the points. Raises `UserError`."""
    space = SearchSpace.load(config.space).with_fixed(**config.fix)
    inputs = CheckedInputs(space, read_points(config.points))
    _check_points_are_fixed(config, inputs.points)
    check_data(config)
    return inputs


def _check_points_are_fixed(config: SweepConfig, points: Sequence[Mapping[str, object]]) -> None:
    """Raise `ConfigError` if a point of the points file has another value than `fix` gives."""
    for point in points:
        for name, value in config.fix.items():
            if point.get(name, value) != value:
                raise ConfigError(
                    f"A point in {config.points} sets {name} to {point[name]!r}, but fix sets it "
                    f"to {value!r} in all trials; drop one of them."
                )


def check_data(config: SweepConfig) -> None:
    """Check the data, their labels and splits as far as no image is opened. Raises `UserError`."""
    check_source(
        config.data,
        cache=config.cache_dir,
        options=config.read_options,
        split=config.split_spec,
    )


def read_points(file: Path | None) -> list[dict[str, object]]:
    """Read a JSON file of points; returns no points if ``file`` is None.

    Backbones get timm's plain names. Raises `ConfigError` unless the file holds a list of objects.
    Their contents are not checked.
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
    return [without_hub_prefix(point) for point in points]


def check_folder(setting: str, folder: Path) -> None:
    """Make the folder that a setting names, and try to write to it. Raises `ConfigError`.

    Its path must be UTF-8: Ray and TensorBoard take no other bytes.
    """
    path = str(folder.absolute())
    if printable(path) != path:
        raise ConfigError(
            f"The path of the {setting} {printable(path)} is not UTF-8, which Ray and TensorBoard "
            "need; name another folder, or work in another one."
        )
    try:
        check_writable(folder)
    except OSError as error:
        raise ConfigError(
            f"The {setting} {folder} can't be written ({error.strerror}); name another folder."
        ) from None


def check_storage(config: SweepConfig, paths: SweepPaths) -> None:
    """If ``storage_path`` is set, check that a mirror can be kept there. Raises `ConfigError`."""
    if config.storage_path:
        from search.record import Mirror

        Mirror(paths, config.storage_path).check()
