"""Number of CPUs that this process may use."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS, _CGROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cpus() -> int:
    """CPUs that the scheduler's affinity, the quotas of cgroups and SLURM leave to this process.

    A machine of 64 cores may give a job 2 of them; `os.cpu_count` would be 64. joblib's `cpu_count`
    does the same, but it neither reads the quotas of nested cgroups nor SLURM_CPUS_PER_TASK.
    """
    limits: list[float] = [os.cpu_count() or 1, *_quotas()]
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    of_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if of_task.isdigit():
        limits.append(int(of_task))
    return max(1, math.ceil(min(limits)))


def _quotas() -> Iterator[float]:
    """CPUs that the process's cgroups allow, each with its ancestors; none where there is no quota.

    A line of /proc/self/cgroup is "0::PATH" in version 2, else "NUMBER:CONTROLLERS:PATH" (see
    cgroups(7)). In a container, the path may be one that only the host has.
    """
    try:
        lines = _CGROUPS_OF_PROCESS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / controllers
        own = root / path.lstrip("/")
        for group in (own, *own.parents):
            if group.is_relative_to(root):
                yield from _quota_of(group, is_version_2=not controllers)


def _quota_of(group: Path, *, is_version_2: bool) -> Iterator[float]:
    try:
        if is_version_2:
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):
        return
