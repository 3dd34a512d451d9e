"""What fine-tunes take of a GPU's memory, kept by the card's name; and when it is not enough."""

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
"""Unfreeze depths that are told apart: where models are cut, and all of them."""
CONTEXT_MIB = 600
"""What a process takes of a card before its first tensor; torch does not count it."""
_RAISED_BY = 1.5
"""What an estimate is multiplied by when a fine-tune ran out of memory."""


@dataclass(frozen=True)
class MemoryCase:
    """Fine-tunes that take about the same memory."""

    backbone: str
    unfreeze: float
    """The first of `DEPTHS` that opens as much."""
    batch_size: int
    """The next power of two."""
    image_size: int

    @classmethod
    def of(cls, params: TrialParams) -> "MemoryCase":
        """The case that a trial belongs to."""
        depth = next(depth for depth in DEPTHS if params.unfreeze <= depth)
        batch = 2 ** (params.batch_size - 1).bit_length()
        return cls(params.backbone, depth, batch, params.image_size)

    def __str__(self) -> str:
        return f"{self.backbone} {self.unfreeze:g} batch {self.batch_size} at {self.image_size}"


@dataclass(frozen=True)
class MemoryTable:
    """Peak MiB by a GPU's name and a case, in a JSON file that processes share."""

    file: Path

    @classmethod
    def of(cls, cache: Path) -> "MemoryTable":
        """This machine's."""
        return cls(cache / "gpu_memory.json")

    def read(self, gpu: str) -> Mapping[str, float]:
        """What is known of a card, by the case in words."""
        return self._all().get(gpu, {})

    def put(self, gpu: str, case: str, mib: float) -> None:
        """Keep a measurement."""
        with self._open() as known:
            known.setdefault(gpu, {})[case] = round(mib, 1)

    def raise_estimate(self, gpu: str, case: str) -> None:
        """Expect more of a case that was measured, because it ran out of memory."""
        with self._open() as known:
            card = known.get(gpu, {})
            if case in card:
                card[case] = round(_RAISED_BY * card[case], 1)

    @contextmanager
    def _open(self) -> Iterator[dict[str, dict[str, float]]]:
        """All that is known, to be changed; other processes wait."""
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
