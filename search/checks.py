"""What can be told of a launch or a resume in a moment, before torch and Ray are there."""

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from filelock import FileLock, Timeout

from search.config import RESUMABLE, SweepConfig, overlay
from search.paths import SweepPaths
from spaces import ConfigError, SearchSpace
from trainables.files import write_json
from trainables.sources import check_source


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
    check_source(config.data)
    SearchSpace.load(config.space)
    config.read_points()


def load_config(paths: SweepPaths) -> SweepConfig:
    """The settings of a sweep that was launched."""
    return SweepConfig.parse(json.loads(paths.config.read_text(encoding="utf-8")))


def config_to_resume(paths: SweepPaths, changes: Mapping[str, Any]) -> SweepConfig:
    """A sweep's settings with ``changes`` by dotted name; space and points from its own copies.

    The sweep's folder may have been moved. Raises `ConfigError` if a change can't be honoured.
    """
    fixed = [name for name in changes if name not in RESUMABLE]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} can't change in a sweep that has begun, or its trials could not "
            f"be compared; launch another one, or change only {', '.join(RESUMABLE)}."
        )
    stored = json.loads(paths.config.read_text(encoding="utf-8"))
    here = {"name": paths.root.name, "results_dir": str(paths.root.parent)}
    here |= {"space": str(paths.space), "points": str(paths.points)}
    return SweepConfig.parse(overlay({**stored, **here}, changes))


@contextmanager
def only_driver(paths: SweepPaths) -> Iterator[None]:
    """Be the one process that runs a sweep. Raises `ConfigError` if another one does."""
    lock = FileLock(paths.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = json.loads(paths.driver.read_text(encoding="utf-8")) if paths.driver.exists() else {}
        raise ConfigError(
            f"The sweep {paths.root.name!r} is being run by process {who.get('pid', 'unknown')} on "
            f"{who.get('host', 'another machine')}; wait for it, or stop it, then resume."
        ) from None
    now = datetime.now().isoformat(timespec="seconds")
    try:
        write_json(paths.driver, {"pid": os.getpid(), "host": platform.node(), "since": now})
        yield
    finally:
        paths.driver.unlink(missing_ok=True)
        lock.release()
