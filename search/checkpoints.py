"""Where broken-off trials go on from: the last state of each, written by the driver alone.

States come to the driver with their epoch's report, so a cluster needs no shared disk, and a worker
that outlives its driver has nothing to write to. The journal has an epoch before its state is here.
"""

import io
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.study import trial_name
from trainables.files import write_whole

_log = logging.getLogger("finesweep")


@dataclass(frozen=True)
class Checkpoints:
    """The folder of a sweep's states; workers of any machine can read from it."""

    folder: Path
    node: str
    """Ray's id of the machine it lies on: the driver's."""

    @classmethod
    def here(cls, folder: Path) -> "Checkpoints":
        """In a folder of this machine. Needs a started Ray."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, ray.get_runtime_context().get_node_id())

    def write(self, number: int, state: np.ndarray) -> None:
        """Keep a packed state as a trial's last; on the driver."""
        write_whole(self._file(number), lambda partial: partial.write_bytes(state.data))

    def read(self, number: int) -> dict[str, Any] | None:
        """A trial's last state, on any machine; None if there is none that is whole."""
        file = self._file(number)
        if ray.get_runtime_context().get_node_id() == self.node:
            packed = _bytes_of(file)
        else:
            there = NodeAffinitySchedulingStrategy(self.node, soft=False)
            read: Any = ray.remote(num_cpus=0)(_bytes_of).options(scheduling_strategy=there)
            packed = ray.get(read.remote(file))
        return None if packed is None else unpack(packed)

    def remove(self, number: int) -> None:
        """Forget a trial's states: it is over."""
        self._file(number).unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self.folder / f"{trial_name(number)}.pt"


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


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
