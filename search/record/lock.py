"""Locks of a sweep: one process at a time runs it, and one at a time makes its final model."""

import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from filelock import FileLock, Timeout

from search.record.paths import SweepPaths
from spaces import ConfigError
from trainables.files import write_json

_log = logging.getLogger("finesweep")


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


def is_driver_running(paths: SweepPaths) -> bool:
    """Whether a process holds the sweep's lock. ``driver.json`` stays where one was killed."""
    if not paths.driver_lock.exists():
        return False
    try:
        FileLock(paths.driver_lock).acquire(timeout=0).lock.release()
    except Timeout:
        return True
    return False


@contextmanager
def hold_final_model_lock(paths: SweepPaths) -> Iterator[None]:
    """Wait until no other process makes the sweep's final model; meanwhile, others wait."""
    lock = FileLock(paths.final_model_lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _log.info("waiting for another process, which makes a final model of this sweep")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
