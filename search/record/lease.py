"""`Lease`: an object in a store that names the process which keeps a mirror up to date."""

import json
import os
import platform
import secrets
import time
from typing import Any

import psutil

from search.record.stored_folder import StoredFolder
from spaces import ConfigError

LEASE = "driver.sign"
"""Object that names the driver. Its modification time is the time of the last renewal."""
LEASE_SECONDS = 120.0
"""A driver that has not renewed its lease for this time is presumed dead."""
_CLOCK = "driver.sign.now"
"""Empty object, written to read the store's clock: its modification time is the present time."""
_TOKEN = secrets.token_hex(8)
"""Random token by which this process recognizes its own lease."""


class Lease:
    """The lease of a sweep's mirror. Methods raise `OSError` if the store fails."""

    def __init__(self, store: StoredFolder) -> None:
        self._store = store
        self._renewed = 0.0
        """Time of the last renewal, in seconds of the monotonic clock."""

    def check(self) -> None:
        """Raises `ConfigError` if another driver holds the lease and may be alive."""
        lease = self._read()
        if lease.get("token", _TOKEN) == _TOKEN:
            return
        if lease["host"] == platform.node() and not psutil.pid_exists(lease["pid"]):
            return
        self._store.write(_CLOCK, b"")
        now, renewed = self._store.changed_at(_CLOCK), self._store.changed_at(LEASE)
        self._store.delete(_CLOCK)
        age_seconds = (now - renewed).total_seconds()
        if age_seconds < LEASE_SECONDS:
            raise ConfigError(
                f"The sweep at {self._store.uri} is being run: its driver renewed its lease "
                f"{age_seconds:.0f} s ago. Wait for that driver, or stop it. If it was killed, "
                f"try again {LEASE_SECONDS:.0f} s after the last renewal."
            )

    def check_writing(self) -> None:
        """Raises `OSError` if this process may not write to the store."""
        self._store.write(_CLOCK, b"")
        self._store.delete(_CLOCK)

    def renew(self, *, after_seconds: float = 0.0) -> None:
        """Take or renew the lease, unless it was renewed less than ``after_seconds`` ago."""
        if time.monotonic() - self._renewed < after_seconds:
            return
        lease = {"token": _TOKEN, "host": platform.node(), "pid": os.getpid()}
        self._store.write(LEASE, json.dumps(lease).encode())
        self._renewed = time.monotonic()

    @property
    def was_taken_over(self) -> bool:
        """Whether another driver holds the lease."""
        return bool(self._read().get("token", _TOKEN) != _TOKEN)

    def release(self) -> None:
        """Give the lease up."""
        self._store.delete(LEASE)

    @property
    def holder(self) -> str:
        """This process, as text for users."""
        return f"process {os.getpid()} of {platform.node()}, {_TOKEN}"

    def _read(self) -> dict[str, Any]:
        """Token, host and process id of the driver that holds the lease; empty if none does."""
        lease: dict[str, Any] = json.loads(self._store.read(LEASE) or b"{}")
        return lease
