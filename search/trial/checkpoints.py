"""Where broken-off trials go on from: the last state of each, written at home.

States come to the driver with their epoch's report, so a cluster needs no shared disk, and a worker
that outlives its driver has nothing to write to. The journal has an epoch before its state is here.
"""

import io
import logging
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from search.cluster import Home
from search.record import trial_name
from trainables.files import write_whole

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Checkpoints:
    """The folder of a sweep's states; workers of any machine can read from it."""

    folder: Path
    home: Home
    """The machine that it lies on."""

    @classmethod
    def here(cls, folder: Path, running: Iterable[int]) -> "Checkpoints":
        """In a folder of this machine, of trials that are not over.

        What a killed driver was still writing goes, and what it had still to remove.
        """
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = cls(folder, Home.here())
        kept = {checkpoints.file(number) for number in running}
        for leftover in set(folder.iterdir()) - kept:
            leftover.unlink()
        return checkpoints

    def read(self, number: int) -> dict[str, Any] | None:
        """A trial's last state, on any machine; None if there is none that is whole."""
        packed = self.home.read(self.file(number))
        return None if packed is None else unpack(packed)

    def file(self, number: int) -> Path:
        """Where a trial's last state lies at home."""
        return self.folder / f"{trial_name(number)}.pt"


class CheckpointWriter:
    """Writes states in a thread, so that no trial waits for the disk; the newest of each counts.

    Use it in a ``with``, which waits for what is still to be written. What the thread can't write
    is raised by the next call, or by that.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1)
        self._newest: dict[int, np.ndarray] = {}
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.shutdown()
        if raised[0] is None:
            self._raise()

    def keep(self, number: int, state: np.ndarray) -> None:
        """Write a packed state as a trial's last."""
        self._newest[number] = state
        self._do(self._write, number)

    def forget(self, number: int) -> None:
        """Remove a trial's state: it is over."""
        self._newest.pop(number, None)
        self._do(self._remove, number)

    def _do(self, task: Callable[[int], None], number: int) -> None:
        self._raise()
        self._running.append(self._thread.submit(task, number))

    def _raise(self) -> None:
        """Raise what a task that is over has raised."""
        for done in [task for task in self._running if task.done()]:
            self._running.remove(done)
            done.result()

    def _write(self, number: int) -> None:
        state = self._newest.pop(number, None)
        if state is not None:
            file = self._checkpoints.file(number)
            write_whole(file, lambda partial: partial.write_bytes(state.data))

    def _remove(self, number: int) -> None:
        self._checkpoints.file(number).unlink(missing_ok=True)


def pack(state: dict[str, Any]) -> np.ndarray:
    """A state as bytes, ``(n,)`` uint8: Ray carries an array without copying it."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return np.frombuffer(buffer.getbuffer(), dtype=np.uint8)


def unpack(packed: bytes) -> dict[str, Any] | None:
    """What `pack` was given; None if the bytes are not whole. Runs no code that is in them."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(packed), weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        _log.warning("a checkpoint can't be read and its trial begins anew: %s", error)
        return None
    return state
