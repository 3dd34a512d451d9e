"""Which arithmetic a trial computes in: float32, or bfloat16 autocast where that is faster.

On a CPU bfloat16 can be twice as fast or half as fast, by backbone and even by direction: so both
are timed once, forward for the prefix and forward and back for what trains, and the answer is kept.
"""

import hashlib
import json
import platform
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from torch import nn

from trainables.files import write_json

Precision = Literal["auto", "fp32", "bf16"]

WORTH_IT = 1.15
"""bfloat16 must be this many times as fast: nearer ones would change places with the noise."""
_BATCH = 8


@dataclass(frozen=True)
class AutocastDtypes:
    """Autocast types of the two parts of a split model; None is float32."""

    prefix: torch.dtype | None
    suffix: torch.dtype | None


def without_tf32() -> AbstractContextManager[None]:
    """Convolutions of a GPU in float32 as on a CPU, which torch would round to TF32."""
    context: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, allow_tf32=False
    )
    return context


def choose_autocast(
    precision: Precision, model: nn.Module, backbone: str, image_size: int, *, cache: Path | None
) -> AutocastDtypes:
    """What ``precision`` comes to for a model where it lies.

    "auto" is bfloat16 on a GPU that has it; on a CPU that may have it what was measured here once
    for the ``backbone``, else, and without a ``cache`` to keep that in, float32. Measuring opens
    all of ``model``.
    """
    device = next(model.parameters()).device
    if precision == "auto" and device.type == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if precision == "auto" and cache is not None and _may_be_worth_it():
        return _measured(model, backbone, image_size, cache)
    dtype = torch.bfloat16 if precision == "bf16" else None
    return AutocastDtypes(dtype, dtype)


def _may_be_worth_it() -> bool:
    """Not where bfloat16 is emulated: 10 to 20 times as slow, and slow to find out."""
    return torch.backends.cpu.get_cpu_capability() not in ("NO AVX", "AVX2")


def _measured(model: nn.Module, backbone: str, image_size: int, cache: Path) -> AutocastDtypes:
    """From the notes of this kind of machine, where they are made if need be.

    Of several processes that want one answer, one measures; different ones are measured together.
    """
    key = f"{backbone} at {image_size}"
    notes = cache / "precision" / f"{_machine()}.json"
    notes.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    with FileLock(notes.with_name(f"{name}.lock")):
        speedup = _read(notes).get(key)
        if speedup is None:
            speedup = _speedups(model, image_size)
            with FileLock(notes.with_suffix(".lock")):
                write_json(notes, {**_read(notes), key: speedup})
    chosen = [torch.bfloat16 if speedup[p] >= WORTH_IT else None for p in ("prefix", "suffix")]
    return AutocastDtypes(*chosen)


def _read(notes: Path) -> dict[str, dict[str, float]]:
    if not notes.exists():
        return {}
    known: dict[str, dict[str, float]] = json.loads(notes.read_text(encoding="utf-8"))
    return known


def _speedups(model: nn.Module, image_size: int) -> dict[str, float]:
    """Times as fast as float32 that bfloat16 is: forward, and forward and back."""
    model.requires_grad_(True)
    model.eval()  # nothing drops, and BatchNorm statistics stay
    images = torch.rand(_BATCH, 3, image_size, image_size)
    images = images.contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    def step() -> None:
        loss: Any = model(images).float().sum()
        loss.backward()

    found = {"prefix": _speedup(forward), "suffix": _speedup(step)}
    model.zero_grad()
    return found


def _speedup(run: Callable[[], object]) -> float:
    """From the best of a few runs each; gives up at once where bfloat16 is hopeless."""

    def seconds(*, half: bool) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

    first = [seconds(half=half) for half in (False, True, False)]
    if first[1] > 1.5 * first[2]:
        return round(first[2] / first[1], 2)
    times = [(seconds(half=False), seconds(half=True)) for _ in range(3)]
    return round(min(t[0] for t in times) / min(t[1] for t in times), 2)


def _machine() -> str:
    """The kind of CPU and the version of torch, as a file's name."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2] if models else name
    words = f"{name} {torch.backends.cpu.get_cpu_capability()} torch {torch.__version__}"
    return "-".join(re.findall(r"[A-Za-z0-9.]+", words))
