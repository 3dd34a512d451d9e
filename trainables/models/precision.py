"""Precision of a trial: float32, or bfloat16 autocast where that is faster.

On a CPU, bfloat16 can be twice as fast as float32 or half as fast, depending on the backbone and on
the pass (forward or backward). Therefore both types are timed once. The frozen prefix of a model
gets the type that is faster in the forward pass. The trainable suffix gets the type that is faster
in forward and backward pass together. The result is kept in the cache folder.
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

MIN_SPEEDUP = 1.15
"""Smallest speed-up for which bfloat16 is used; smaller speed-ups are within the noise."""
_BATCH_SIZE = 4


@dataclass(frozen=True)
class AutocastDtypes:
    """Autocast types of the two parts of a split model; None is float32."""

    prefix: torch.dtype | None
    suffix: torch.dtype | None


def without_tf32() -> AbstractContextManager[None]:
    """Context in which convolutions on a GPU compute in full float32, not in TF32."""
    context: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, allow_tf32=False
    )
    return context


def choose_autocast(
    precision: Precision, model: nn.Module, backbone: str, image_size: int, *, cache: Path | None
) -> AutocastDtypes:
    """Autocast types for ``model`` on its device.

    "auto" selects bfloat16 on a GPU that supports this type. On a CPU with bfloat16 instructions,
    "auto" selects the faster type for each part. The speed is measured once for a ``backbone``, at
    the ``image_size`` that needs it first, and kept in ``cache``. In all other cases, also if
    ``cache`` is None, "auto" selects float32. The measurement unfreezes all parameters of
    ``model``, and leaves ``model`` in evaluation mode.
    """
    device = next(model.parameters()).device
    if precision == "auto" and device.type == "cuda":
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if precision == "auto" and cache is not None and _has_bfloat16_instructions():
        return _measured_dtypes(model, backbone, image_size, cache)
    dtype = torch.bfloat16 if precision == "bf16" else None
    return AutocastDtypes(dtype, dtype)


def _has_bfloat16_instructions() -> bool:
    """Whether this CPU may have bfloat16 instructions.

    Without these instructions, bfloat16 is emulated, which is 10 to 20 times slower than float32
    and slow to measure.
    """
    return torch.backends.cpu.get_cpu_capability() not in ("NO AVX", "AVX2")


def _measured_dtypes(
    model: nn.Module, backbone: str, image_size: int, cache: Path
) -> AutocastDtypes:
    """Autocast types from the cached speed-ups of this kind of machine; measures missing ones.

    If several processes need the same measurement, one makes it and the others wait.
    """
    file = cache / "precision" / f"{_machine_name()}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(backbone.encode(), digest_size=8).hexdigest()
    with FileLock(file.with_name(f"{name}.lock")):
        speedups = _read_speedups(file).get(backbone)
        if speedups is None:
            speedups = _measure_speedups(model, image_size)
            with FileLock(file.with_suffix(".lock")):
                write_json(file, {**_read_speedups(file), backbone: speedups})
    prefix, suffix = (
        torch.bfloat16 if speedups[part] >= MIN_SPEEDUP else None for part in ("prefix", "suffix")
    )
    return AutocastDtypes(prefix, suffix)


def _read_speedups(file: Path) -> dict[str, dict[str, float]]:
    """Speed-ups by backbone: a dict by part ("prefix" and "suffix")."""
    if not file.exists():
        return {}
    speedups: dict[str, dict[str, float]] = json.loads(file.read_text(encoding="utf-8"))
    return speedups


def _measure_speedups(model: nn.Module, image_size: int) -> dict[str, float]:
    """Speed-ups of bfloat16: of the forward pass ("prefix"), and of both passes ("suffix")."""
    model.requires_grad_(True)
    model.eval()  # no dropout, and BatchNorm statistics stay as they are
    images = torch.rand(_BATCH_SIZE, 3, image_size, image_size)
    images = images.contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad():
            model(images)

    def forward_and_backward() -> None:
        loss: Any = model(images).float().sum()
        loss.backward()

    speedups = {"prefix": _speedup(forward), "suffix": _speedup(forward_and_backward)}
    model.zero_grad()
    return speedups


def _speedup(run: Callable[[], object]) -> float:
    """Time of ``run`` in float32 divided by its time in bfloat16: the shortest of two runs each.

    If the first run in bfloat16 is much slower than in float32, no further run is made.
    """

    def seconds(*, bfloat16: bool) -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            began = time.perf_counter()
            run()
            return time.perf_counter() - began

    _, first_bf16, first_fp32 = (seconds(bfloat16=b) for b in (False, True, False))
    if first_bf16 > 1.5 * first_fp32:
        return round(first_fp32 / first_bf16, 2)
    times = [(seconds(bfloat16=False), seconds(bfloat16=True)) for _ in range(2)]
    return round(min(t[0] for t in times) / min(t[1] for t in times), 2)


def _machine_name() -> str:
    """File name made of the CPU's model, its instruction set and torch's version."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2] if models else name
    words = f"{name} {torch.backends.cpu.get_cpu_capability()} torch {torch.__version__}"
    return "-".join(re.findall(r"[A-Za-z0-9.]+", words))
