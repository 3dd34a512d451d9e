"""TensorBoard and optuna-dashboard for sweeps, served to this machine only."""

import socket
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.record import JournalFile, SweepPaths
from spaces import ConfigError, RunError

HOST = "127.0.0.1"
"""Loopback address: other machines can't connect."""
TENSORBOARD_PORT, DASHBOARD_PORT = 6006, 8080
"""Preferred ports, which are the boards' own; the next free port is used if one is taken."""
_PORTS_TRIED = 100
"""Number of ports from the preferred one on that are tried, before any other free port."""


def serve_tensorboard(sweeps: Sequence[SweepPaths]) -> None:
    """Serve the TensorBoard runs of sweeps until Ctrl-C.

    Several sweeps are served from a folder with a link to each, named as the sweep. The flag
    ``--logdir_spec`` would take paths with commas and colons apart. The server prints its address.
    """
    from tensorboard import program

    with tempfile.TemporaryDirectory(prefix="finesweep-") as folder:
        logdir = sweeps[0].tensorboard
        if len(sweeps) > 1:
            logdir = Path(folder)
            names = [paths.root.name for paths in sweeps]
            for number, (name, paths) in enumerate(zip(names, sweeps, strict=True)):
                again = f" ({names[:number].count(name) + 1})" if name in names[:number] else ""
                (logdir / f"{name}{again}").symlink_to(paths.tensorboard)
        board = program.TensorBoard()
        address = ["--host", HOST, "--port", str(_free_port(TENSORBOARD_PORT))]
        board.configure(argv=[None, "--logdir", str(logdir), *address])
        if board.main():
            raise RunError("TensorBoard can't be served; the reason is above.")


def serve_dashboard(sweeps: Sequence[SweepPaths]) -> None:
    """Serve optuna-dashboard for one sweep until Ctrl-C, also while the sweep runs.

    The server prints its address. It can't change the study. Raises `ConfigError` if there are
    several sweeps, or if the package is not installed.
    """
    if len(sweeps) > 1:
        raise ConfigError(f"--dashboard shows one sweep, not {len(sweeps)}; name one.")
    try:
        import optuna_dashboard
    except ImportError:
        raise ConfigError(
            "--dashboard needs optuna-dashboard; pip install 'finesweep[dashboard]'."
        ) from None
    from optuna.storages import JournalStorage

    optuna_dashboard.run_server(
        JournalStorage(_ReadOnlyJournal(sweeps[0].journal)), HOST, _free_port(DASHBOARD_PORT)
    )


def _free_port(preferred: int) -> int:
    """The first free port from ``preferred`` on. Raises `RunError` if no port is free.

    A port is free if it can be bound. TensorBoard's own choice asks only whether somebody answers
    there, and ends the process if the port can't be bound nevertheless.
    """
    for port in (*range(preferred, preferred + _PORTS_TRIED), 0):
        try:
            with socket.create_server((HOST, port)) as server:
                return int(server.getsockname()[1])
        except OSError:
            continue
    raise RunError("No port is free on this machine; end a program that uses one.")


class _ReadOnlyJournal(JournalFile):
    """Journal file that can only be read, because another process may be writing to it."""

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        raise RunError("The dashboard is read-only: the study can't be changed.")
