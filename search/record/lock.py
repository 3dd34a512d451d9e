"""The process that runs a sweep: one at a time."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from filelock import FileLock, Timeout

from search.record.paths import SweepPaths
from spaces import ConfigError
from trainables.files import write_json


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
