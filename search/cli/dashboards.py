"""TensorBoard and optuna-dashboard over sweeps, served to this machine alone."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from search.record import JournalFile, SweepPaths
from spaces import ConfigError, RunError

HOST = "127.0.0.1"


def serve_tensorboard(sweeps: Sequence[SweepPaths]) -> None:
    """Serve the curves until Ctrl-C."""
    from tensorboard import program

    board = program.TensorBoard()
    spec = ",".join(f"{p.root.name}:{p.tensorboard}" for p in sweeps)
    one = len(sweeps) == 1
    logdir = ["--logdir", str(sweeps[0].tensorboard)] if one else ["--logdir_spec", spec]
    board.configure(argv=[None, *logdir, "--host", HOST])
    board.main()


def serve_dashboard(sweeps: Sequence[SweepPaths]) -> None:
    """Serve Optuna's view of a study until Ctrl-C, also while the sweep runs.

    It can't change anything, and says itself where it is: at 8080, or a port that is free. Raises
    `ConfigError` for several sweeps, or without the package.
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

    optuna_dashboard.run_server(JournalStorage(_Watched(sweeps[0].journal)), HOST, _free_port())


def _free_port(usual: int = 8080) -> int:
    for port in (usual, 0):
        try:
            with socket.create_server((HOST, port)) as free:
                return int(free.getsockname()[1])
        except OSError:
            continue
    raise RunError("optuna-dashboard finds no free port on this machine; end what holds them.")


class _Watched(JournalFile):
    """A journal that somebody else may be writing."""

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        raise RunError("The dashboard only looks: what is shown can't be changed.")
