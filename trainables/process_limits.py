"""CPUs and memory that this process may use."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_CGROUPS, _CGROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cpus() -> int:
    """CPUs that the scheduler's affinity, the quotas of cgroups and SLURM leave to this process.

    A machine of 64 cores may give a job 2 of them; `os.cpu_count` would be 64. joblib's `cpu_count`
    does the same, but it neither reads the quotas of nested cgroups nor SLURM_CPUS_PER_TASK.
    """
    limits: list[float] = [os.cpu_count() or 1]
    for group in _groups("cpu"):
        with suppress(OSError, ValueError):  # no limit, or "max", or -1 in version 1
            quota, period = (group / "cpu.max").read_text().split()
            limits.append(int(quota) / int(period))
        with suppress(OSError):
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
            limits.append(int(quota) / int(period) if int(quota) > 0 else math.inf)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    of_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if of_task.isdigit():
        limits.append(int(of_task))
    return max(1, math.ceil(min(limits)))


def available_memory_bytes() -> int:
    """Memory that is free on the machine, and within the limits of this process's cgroups."""
    free = [psutil.virtual_memory().available]
    for group in _groups("memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):  # no limit, or "max"
                left = int((group / limit).read_text()) - int((group / used).read_text())
                free.append(max(0, left))
    return min(free)


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the process's cgroups that limit what ``controller`` does, and their ancestors.

    A line of /proc/self/cgroup is "0::PATH" in version 2, else "NUMBER:CONTROLLERS:PATH" (see
    cgroups(7)). In a container, the path may be one that only the host has.
    """
    try:
        lines = _CGROUPS_OF_PROCESS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _CGROUPS / controllers
        own = root / path.lstrip("/")
        yield from (group for group in (own, *own.parents) if group.is_relative_to(root))
