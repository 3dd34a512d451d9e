"""Checkpoints: the last state of each running trial, written on the driver's machine.

A worker sends the state of a trial to the driver together with the report of the round. So a
cluster needs no shared disk, and a worker that outlives its driver can overwrite nothing. The
driver records a round in the journal before it writes the state.
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

from search.cluster import DriverMachine
from search.record import trial_name
from trainables.files import write_atomically

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Checkpoints:
    """The folder of a sweep's checkpoints, readable from any machine of the cluster."""

    folder: Path
    driver: DriverMachine
    """The driver's machine, on whose disk the folder lies."""

    @classmethod
    def here(cls, folder: Path, running: Iterable[int]) -> "Checkpoints":
        """Checkpoints in a folder of this machine.

        Removes every file except those of the ``running`` trials: a killed driver may have left
        partial files, and files of trials that have ended.
        """
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints = cls(folder, DriverMachine.current())
        kept = {checkpoints.file(number) for number in running}
        for leftover in set(folder.iterdir()) - kept:
            leftover.unlink()
        return checkpoints

    def read(self, number: int) -> dict[str, Any] | None:
        """Last state of a trial, read on any machine; None if the file is missing or truncated."""
        packed = self.driver.read_bytes(self.file(number))
        return None if packed is None else unpack(packed)

    def file(self, number: int) -> Path:
        """File of a trial's last state, on the driver's machine."""
        return self.folder / f"{trial_name(number)}.pt"


class CheckpointWriter:
    """Writes checkpoints in a thread, so that no trial waits for the disk.

    If several states of a trial wait, only the newest is written. The writer is a context manager:
    at its end it waits for the thread. An `OSError` in the thread is raised by the writer's next
    call, or at the end.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1)
        self._newest: dict[int, np.ndarray] = {}
        self._tasks: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._thread.shutdown()
        if raised[0] is None:
            self._raise_errors()

    def keep(self, number: int, state: np.ndarray) -> None:
        """Write a packed state, ``(n,)`` uint8, in place of the trial's previous one."""
        self._newest[number] = state
        self._submit(self._write, number)

    def forget(self, number: int) -> None:
        """Remove the checkpoint of a trial that has ended."""
        self._newest.pop(number, None)
        self._submit(self._remove, number)

    def wait(self) -> None:
        """Wait until every state is on the disk."""
        for task in self._tasks:
            task.exception()
        self._raise_errors()

    def _submit(self, task: Callable[[int], None], number: int) -> None:
        self._raise_errors()
        self._tasks.append(self._thread.submit(task, number))

    def _raise_errors(self) -> None:
        """Raise the error of a finished task, if it had one."""
        for done in [task for task in self._tasks if task.done()]:
            self._tasks.remove(done)
            done.result()

    def _write(self, number: int) -> None:
        state = self._newest.pop(number, None)
        if state is not None:
            file = self._checkpoints.file(number)
            write_atomically(file, lambda partial: partial.write_bytes(state.data))

    def _remove(self, number: int) -> None:
        self._checkpoints.file(number).unlink(missing_ok=True)


def pack(state: dict[str, Any]) -> np.ndarray:
    """Serialize a state to ``(n,)`` uint8, which Ray carries without a copy."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return np.frombuffer(buffer.getbuffer(), dtype=np.uint8)


def unpack(packed: bytes) -> dict[str, Any] | None:
    """Deserialize a packed state; None if it is truncated. Never executes code in the state."""
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(packed), weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        _log.warning(
            "A checkpoint can't be read, so its trial restarts from the beginning: %s", error
        )
        return None
    return state
