"""The machine that a sweep is run from, and how its files get to others without a shared disk."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import ray
from filelock import FileLock
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from trainables.files import write_whole

CHUNK_BYTES = 64 * 2**20
"""What travels at a time, through Ray's object store."""
_T = TypeVar("_T")
_AHEAD = 3
"""Chunks that are asked for before the first of them is there."""


@dataclass(frozen=True)
class Home:
    """The driver's machine, as its workers know it. Without Ray, this one."""

    node: str
    """Ray's id of it."""

    @classmethod
    def here(cls) -> "Home":
        """This machine."""
        return cls(_this_node())

    @property
    def is_here(self) -> bool:
        """Whether this process runs at home."""
        return self.node == _this_node()

    def call(self, function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """What a function gives at home."""
        if self.is_here:
            return function(*args, **kwargs)
        answer: _T = ray.get(self._at_home(function).remote(*args, **kwargs))
        return answer

    def read(self, file: Path) -> bytes | None:
        """The whole of a small file that lies at home; None if there is none."""
        return self.call(_bytes_of, file)

    def bring(self, source: Path, target: Path, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Copy a file that lies at home to ``target`` on this machine, unless it is there.

        Of several processes that want it, one fetches it. Raises `FileNotFoundError` if it is not
        at home either.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            if not target.exists():
                write_whole(target, lambda partial: self._fetch(source, partial, chunk_bytes))

    def size(self, file: Path) -> int:
        """Bytes of a file that lies at home. Raises `FileNotFoundError`."""
        size = self.call(_size_of, file)
        if size is None:
            raise FileNotFoundError(f"{file} is not on the machine the sweep is run from.")
        return size

    def _fetch(self, source: Path, target: Path, chunk_bytes: int) -> None:
        with target.open("wb") as file:
            for chunk in self._chunks(source, chunk_bytes):
                file.write(chunk.data)

    def _chunks(self, source: Path, chunk_bytes: int) -> Iterator[np.ndarray]:
        size = self.size(source)
        part = self._at_home(_part_of)
        coming: deque[Any] = deque()
        for offset in range(0, size, chunk_bytes):
            coming.append(part.remote(source, offset, min(chunk_bytes, size - offset)))
            if len(coming) > _AHEAD:
                yield ray.get(coming.popleft())
        while coming:
            yield ray.get(coming.popleft())

    def _at_home(self, function: Any) -> Any:
        there = NodeAffinitySchedulingStrategy(self.node, soft=False)
        return ray.remote(num_cpus=0)(function).options(scheduling_strategy=there)


def _this_node() -> str:
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _size_of(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None


def _part_of(file: Path, offset: int, length: int) -> np.ndarray:
    return np.fromfile(file, dtype=np.uint8, count=length, offset=offset)
