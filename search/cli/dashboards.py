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
DASHBOARD_PORT = 8080
"""Preferred port of optuna-dashboard; a free port is used if another program has this one."""


def serve_tensorboard(sweeps: Sequence[SweepPaths]) -> None:
    """Serve the TensorBoard runs of sweeps until Ctrl-C.

    Several sweeps are served from a folder with a link to each, named as the sweep. The flag
    ``--logdir_spec`` would take paths with commas and colons apart.
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
        board.configure(argv=[None, "--logdir", str(logdir), "--host", HOST])
        board.main()


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
        JournalStorage(_ReadOnlyJournal(sweeps[0].journal)), HOST, _free_port()
    )


def _free_port(preferred: int = DASHBOARD_PORT) -> int:
    """The ``preferred`` port, or another if that is taken. Raises `RunError` if no port is free."""
    for port in (preferred, 0):
        try:
            with socket.create_server((HOST, port)) as server:
                return int(server.getsockname()[1])
        except OSError:
            continue
    raise RunError(
        "optuna-dashboard finds no free port on this machine; end a program that uses a port."
    )


class _ReadOnlyJournal(JournalFile):
    """Journal file that can only be read, because another process may be writing to it."""

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        raise RunError("The dashboard is read-only: the study can't be changed.")
