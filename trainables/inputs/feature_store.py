"""`FeatureStore`: outputs of frozen prefixes, kept on disk and shared by trials and sweeps."""

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock

from trainables.data import FEATURES, make_room, reserve
from trainables.models import Split

_log = logging.getLogger("finesweep")

GPU_BYTES = 2**16
"""Of one image's features that a GPU keeps: larger ones it makes anew sooner than they are read.

An H200 put 10,000 images a second through a ResNet-50; a core reads about a gigabyte a second.
"""


_BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class FeatureStore:
    """A folder of features below the cache, bounded in size: the least recently used go first.

    Features outlive the processes that made them; on Linux not a restart of the machine, after
    which what had reached the disk would be anybody's guess.
    """

    cache: Path
    budget_bytes: int
    dtype: Literal["float16", "float32"] = "float16"

    @property
    def folder(self) -> Path:
        """Where this boot of the machine keeps its features."""
        boot = _BOOT.read_text().strip() if _BOOT.exists() else "boot"
        return self.cache / "features" / boot

    def admits(self, split: Split, images: int, views: float, device: torch.device) -> bool:
        """Whether keeping what the prefix makes of all views of the images is worth its bytes."""
        width = sum(math.prod(shape) for shape in split.shapes)
        size = width * np.dtype(self.dtype).itemsize
        fits = images * views * size <= self.budget_bytes
        return split.frozen is not None and fits and (device.type == "cpu" or size <= GPU_BYTES)

    def open(self, key: str, rows: int, width: int) -> "Block | None":
        """The block of a key, made if it isn't there; None if there is no room for it."""
        file = self.folder / f"{key}.{self.dtype}"
        item = np.dtype(self.dtype).itemsize
        size = _aligned(rows) + rows * width * item
        if not file.exists() and not self._make(file, size):
            return None
        try:
            os.utime(file)
            content = np.memmap(file, np.uint8, "r+")
        except OSError:  # evicted just now, or not ours to write
            return None
        values = content[_aligned(rows) :].view(self.dtype).reshape(rows, width)
        return Block(content[:rows], torch.from_numpy(values))

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch has it."""
        return torch.float16 if self.dtype == "float16" else torch.float32

    def _make(self, file: Path, size: int) -> bool:
        """Reserve an empty block, at the cost of the least recently used ones."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
        with FileLock(self.cache / "features" / "lock"):
            if file.exists():
                return True
            if not make_room(self.cache, size, self.budget_bytes, FEATURES):
                return False
            try:
                with partial.open("wb") as empty:
                    reserve(empty.fileno(), size)
                partial.rename(file)
            except OSError as error:
                _log.warning("features can't be kept (%s); they are computed again", error)
                return False
            finally:
                partial.unlink(missing_ok=True)
        return True


@dataclass(frozen=True)
class Block:
    """The features of some images in one view, row for row, as far as they are known."""

    known: np.ndarray
    """``(rows,)`` uint8, mapped: 1 where a row has been written."""
    values: torch.Tensor
    """``(rows, width)``, mapped."""

    def write(self, rows: np.ndarray, values: torch.Tensor) -> None:
        """Keep some rows: first what they hold, then that it is known."""
        self.values[torch.from_numpy(rows)] = values
        self.known[rows] = 1


def _aligned(rows: int) -> int:
    return -(-rows // 64) * 64
