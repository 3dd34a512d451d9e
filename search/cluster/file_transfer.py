"""`DriverMachine`: calls and file transfers between the driver's machine and its workers.

Workers need no disk shared with the driver: files travel through Ray's object store.
"""

import glob
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
from filelock import FileLock
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.files import write_atomically

CHUNK_BYTES = 64 * 2**20
"""Size of the chunks in which a file is transferred."""
PREFETCHED_CHUNKS = 3
"""Number of chunks that are requested before the previous chunk has arrived."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class DriverMachine:
    """The machine that the driver runs on, as a handle that can be sent to workers.

    `call`, `read_bytes` and `size_bytes` run directly in this process if the process is on the
    driver's machine, or if Ray is not running. `fetch` copies through Ray's object store.
    """

    node_id: str
    """Ray's id of the driver's node; empty without Ray."""

    @classmethod
    def current(cls) -> "DriverMachine":
        """Make a handle of this process's machine. Only the driver calls this method."""
        return cls(_current_node_id())

    @property
    def is_this_machine(self) -> bool:
        """Whether this process runs on the driver's machine."""
        return self.node_id == _current_node_id()

    def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """Call a function on the driver's machine, and return its result.

        If this process is on another machine, the function runs as a Ray task on the driver's
        machine, outside the driver's process.
        """
        if self.is_this_machine:
            return function(*args, **kwargs)
        result: _T = ray.get(self._task(function).remote(*args, **kwargs))
        return result

    def read_bytes(self, file: Path) -> bytes | None:
        """Content of a small file on the driver's machine; None if there is no such file."""
        return self.call(_content_of, file)

    def fetch(self, source: Path, target: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Copy ``source`` from the driver's machine to ``target`` on this machine.

        If ``target`` exists, nothing is copied. If several processes of this machine request the
        file, one of them fetches it and the others wait. Raises `FileNotFoundError` if ``target``
        is missing and the driver's machine has no ``source``.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                for left in target.parent.glob(f"{glob.escape(target.name)}.*.partial"):
                    left.unlink()  # of a process that was killed while it fetched
                write_atomically(
                    target, lambda partial: self._download(source, partial, chunk_bytes)
                )

    def size_bytes(self, file: Path) -> int:
        """Size of a file on the driver's machine. Raises `FileNotFoundError` if it is missing."""
        size = self.call(_size_of, file)
        if size is None:
            raise FileNotFoundError(f"{file} is not on the machine that the sweep is run from.")
        return size

    def _download(self, source: Path, target: Path, chunk_bytes: int) -> None:
        with target.open("wb") as file:
            for chunk in self._chunks(source, chunk_bytes):
                file.write(chunk.data)

    def _chunks(self, source: Path, chunk_bytes: int) -> Iterator[np.ndarray]:
        """Yield the bytes of a file in order, as uint8 arrays of at most ``chunk_bytes``."""
        size = self.size_bytes(source)
        read_chunk = self._task(_chunk_of)
        requested: deque[Any] = deque()
        for offset in range(0, size, chunk_bytes):
            length = min(chunk_bytes, size - offset)
            requested.append(read_chunk.remote(source, offset, length))
            if len(requested) > PREFETCHED_CHUNKS:
                yield ray.get(requested.popleft())
        while requested:
            yield ray.get(requested.popleft())

    def _task(self, function: Any) -> Any:
        """The function as a Ray task that runs on the driver's machine."""
        on_driver = NodeAffinitySchedulingStrategy(self.node_id, soft=False)
        return ray.remote(num_cpus=0)(function).options(scheduling_strategy=on_driver)


def _current_node_id() -> str:
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def _content_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _size_of(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None


def _chunk_of(file: Path, offset: int, length: int) -> np.ndarray:
    return np.fromfile(file, dtype=np.uint8, count=length, offset=offset)
