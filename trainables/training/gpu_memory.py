"""Measured peak GPU memory of fine-tunes, by the GPU's name and the kind of trial."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from spaces import TrialParams
from trainables.files import write_json
from trainables.models import CUT_FRACTIONS

DEPTHS = (*CUT_FRACTIONS, 1.0)
"""Values of ``unfreeze`` that a `MemoryCase` can have: `CUT_FRACTIONS`, and 1."""
CONTEXT_MIB = 600
"""MiB of GPU memory that a process takes before its first tensor. torch does not count them."""
_OUT_OF_MEMORY_FACTOR = 1.5
"""Factor by which a recorded peak is raised after a fine-tune ran out of memory."""


@dataclass(frozen=True)
class MemoryCase:
    """A kind of trial whose fine-tunes take about the same GPU memory."""

    backbone: str
    unfreeze: float
    """Smallest of `DEPTHS` that is at least the trial's ``unfreeze``."""
    batch_size: int
    """The trial's batch size, rounded up to a power of two."""
    image_size: int
    """Side of the square input in pixels."""

    @classmethod
    def of(cls, params: TrialParams) -> "MemoryCase":
        """Memory case of a trial."""
        depth = next(depth for depth in DEPTHS if params.unfreeze <= depth)
        batch = 2 ** (params.batch_size - 1).bit_length()
        return cls(params.backbone, depth, batch, params.image_size)

    def __str__(self) -> str:
        return f"{self.backbone} {self.unfreeze:g} batch {self.batch_size} at {self.image_size}"


@dataclass(frozen=True)
class MemoryTable:
    """Peak memory in MiB by GPU name and case, in a JSON file that processes share."""

    file: Path

    @classmethod
    def of(cls, cache: Path) -> "MemoryTable":
        """Table in this machine's cache folder."""
        return cls(cache / "gpu_memory.json")

    def read(self, gpu: str) -> Mapping[str, float]:
        """Peak MiB on a GPU, by memory case as text."""
        return self._all().get(gpu, {})

    def put(self, gpu: str, case: str, mib: float) -> None:
        """Record a measured peak in MiB."""
        with self._open() as known:
            known.setdefault(gpu, {})[case] = round(mib, 1)

    def raise_estimate(self, gpu: str, case: str) -> None:
        """Raise the recorded peak, if any, of a case whose fine-tune ran out of memory."""
        with self._open() as known:
            card = known.get(gpu, {})
            if case in card:
                card[case] = round(_OUT_OF_MEMORY_FACTOR * card[case], 1)

    @contextmanager
    def _open(self) -> Iterator[dict[str, dict[str, float]]]:
        """All measurements, locked against other processes. At the end, changes are written."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_suffix(".lock")):
            known = self._all()
            yield known
            write_json(self.file, known)

    def _all(self) -> dict[str, dict[str, float]]:
        if not self.file.exists():
            return {}
        known: dict[str, dict[str, float]] = json.loads(self.file.read_text(encoding="utf-8"))
        return known
