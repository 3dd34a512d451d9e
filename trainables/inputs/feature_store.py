"""`FeatureStore`: features of frozen prefixes, kept on disk and shared by trials and sweeps."""

import hashlib
import json
import logging
import math
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock

from trainables.data import FEATURE_FILES, make_room, preallocate
from trainables.files import write_json
from trainables.models import SplitModel

_log = logging.getLogger("finesweep")

MAX_BYTES_PER_IMAGE_ON_GPU = 2**16
"""Largest features of an image that are stored for a GPU. The GPU computes larger ones faster
than the store reads them.

An H200 ran 10,000 images/s through a ResNet-50; one CPU core reads about 1 GB/s.
"""
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class FeatureStore:
    """Folder of `FeatureBlock`s in the cache. If the folder exceeds its budget, blocks are evicted.

    The blocks that were used least recently go first. Blocks remain when the process that wrote
    them ends. On Linux a restart of the machine invalidates all blocks, because after a crash it is
    unknown which features had reached the disk.
    """

    cache: Path
    """Cache folder of this machine."""
    budget_bytes: int
    """Largest size of all blocks together."""
    dtype: Literal["float16", "float32"] = "float16"
    """Floating-point type of the stored features."""

    @property
    def folder(self) -> Path:
        """Folder of the blocks that were written since the machine's last start."""
        boot = _BOOT_ID_FILE.read_text().strip() if _BOOT_ID_FILE.exists() else "boot"
        return self.cache / "features" / boot

    def admits(self, split: SplitModel, images: int, views: float, device: torch.device) -> bool:
        """Whether to store the features of ``images`` images in ``views`` views each.

        True if there is a frozen prefix, the features fit the budget, and reading them back is
        faster than computing them on ``device``.
        """
        width = sum(math.prod(shape) for shape in split.feature_shapes)
        size = width * np.dtype(self.dtype).itemsize
        fits = images * views * size <= self.budget_bytes
        pays = device.type == "cpu" or size <= MAX_BYTES_PER_IMAGE_ON_GPU
        return split.prefix_module is not None and fits and pays

    def open(self, key: str, rows: int, width: int) -> "FeatureBlock | None":
        """Block of ``key``, created if it doesn't exist; None if there is no room for the block.

        ``rows`` is the number of images, ``width`` the number of values per image.
        """
        file = self.folder / f"{key}.{self.dtype}"
        item = np.dtype(self.dtype).itemsize
        size = _aligned(rows) + rows * width * item
        if not file.exists() and not self._make(file, size):
            return None
        try:
            os.utime(file)
            content = np.memmap(file, np.uint8, "r+")
        except OSError:  # just evicted, or not writable
            return None
        values = content[_aligned(rows) :].view(self.dtype).reshape(rows, width)
        return FeatureBlock(content[:rows], torch.from_numpy(values))

    def write_seconds(self, key: str, seconds: float) -> None:
        """Remember the seconds of computing an image's features, unless that is known."""
        file = self._seconds_file(key)
        if not file.exists():
            with suppress(OSError):  # then later trials don't know
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, {"seconds_per_image": seconds})

    def read_seconds(self, key: str) -> float:
        """Seconds of computing an image's features; 0 if they are unknown."""
        file = self._seconds_file(key)
        if not file.exists():
            return 0.0
        return float(json.loads(file.read_text(encoding="utf-8"))["seconds_per_image"])

    def _seconds_file(self, key: str) -> Path:
        return self.folder / f"{hashlib.blake2b(key.encode(), digest_size=12).hexdigest()}.json"

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as a type of torch."""
        return torch.float16 if self.dtype == "float16" else torch.float32

    def _make(self, file: Path, size: int) -> bool:
        """Reserve an empty block, evicting least recently used ones; False if there is no room."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
        with FileLock(self.cache / "features" / "lock"):
            if file.exists():
                return True
            if not make_room(self.cache, size, self.budget_bytes, *FEATURE_FILES):
                return False
            try:
                with partial.open("wb") as empty:
                    preallocate(empty.fileno(), size)
                partial.rename(file)
            except OSError as error:
                _log.warning(
                    "features can't be stored (%s); every epoch computes them again", error
                )
                return False
            finally:
                partial.unlink(missing_ok=True)
        return True


@dataclass(frozen=True)
class FeatureBlock:
    """Features of an image set in one view, one row per image, in a memory-mapped file."""

    written: np.ndarray
    """``(rows,)`` uint8: 1 where the row has been written."""
    values: torch.Tensor
    """``(rows, width)`` features, of the store's type."""

    def write(self, rows: np.ndarray, values: torch.Tensor) -> None:
        """Write ``(n, width)`` values to ``(n,)`` rows, and only then mark the rows as written."""
        self.values[torch.from_numpy(rows)] = values
        self.written[rows] = 1


def _aligned(rows: int) -> int:
    """Byte offset of a block's values in its file: ``rows`` rounded up to a multiple of 64."""
    return -(-rows // 64) * 64
