"""Lock of a sweep: one driver process at a time may run it."""

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
def hold_driver_lock(paths: SweepPaths) -> Iterator[None]:
    """Hold the sweep's lock; meanwhile, ``driver.json`` names this process.

    Raises `ConfigError` if another process holds the lock. The operating system frees the lock of a
    process that dies.
    """
    lock = FileLock(paths.driver_lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        file = paths.driver
        holder = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        raise ConfigError(
            f"The sweep {paths.root.name!r} is being run by process "
            f"{holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown machine')}; wait "
            "for this process or stop it, then resume the sweep."
        ) from None
    now = datetime.now().isoformat(timespec="seconds")
    try:
        write_json(paths.driver, {"pid": os.getpid(), "host": platform.node(), "since": now})
        yield
    finally:
        paths.driver.unlink(missing_ok=True)
        lock.release()
