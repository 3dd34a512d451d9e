"""Folder for the sockets and logs of a Ray cluster on this machine."""

import os
import shutil
import tempfile
from pathlib import Path

from spaces import ConfigError

_LONGEST_PATH = 40
"""Largest number of bytes of the folder's path. A socket's path has 107 at most, and Ray adds up to
67: ``/session_2026-11-28_10-53-37_246300_1234567/sockets/plasma_store``."""
_LEAST_FREE_BYTES = 100 * 2**20
"""Free space without which Ray's logs soon fill the disk."""


def temporary_folder() -> Path:
    """Ray's own choice, which is ``ray`` below RAY_TMPDIR, TMPDIR or /tmp, if it can be used.

    Else it is a folder of the user's own in /tmp or /var/tmp: TMPDIR may be too long for a socket,
    and ``/tmp/ray`` may belong to another user. Raises `ConfigError` if no folder can be used.
    """
    given = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    own = f"ray-{os.getuid()}"
    candidates = [Path(given) / "ray", Path("/tmp") / own, Path("/var/tmp") / own]
    faults = []
    for folder in candidates:
        fault = _fault_of(folder)
        if fault is None:
            return folder
        faults.append(f"{folder} {fault}")
    raise ConfigError(
        f"Ray can't start, because it finds no folder for its sockets: {'; '.join(faults)}. Make "
        "room, or set RAY_TMPDIR to a folder with a short path."
    )


def _fault_of(folder: Path) -> str | None:
    """Why Ray can't use a folder; None if it can. The folder is made if it does not exist."""
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        return f"has a path of more than {_LONGEST_PATH} bytes"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"can't be written ({error.strerror})"
    if free < _LEAST_FREE_BYTES:
        return f"lies on a disk with {free / 2**20:.0f} MiB left"
    return None
