import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from trainables import process_limits
from trainables.process_limits import available_cpus, available_memory_bytes


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Root of the cgroups of a machine of 64 cores."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(process_limits, "_CGROUPS", tmp_path)
    monkeypatch.setattr(process_limits, "_CGROUPS_OF_PROCESS", tmp_path / "of_process")
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    return tmp_path


def test_without_limits_all_cores_are_available() -> None:
    assert available_cpus() == 64


def test_the_affinity_of_the_process_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3, 7})
    assert available_cpus() == 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_a_process_that_is_bound_to_one_core_has_one() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from trainables.process_limits import available_cpus; print(available_cpus())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_slurm_says_how_many_a_task_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert available_cpus() == 2


@pytest.mark.parametrize(("quota", "count"), [("250000 100000", 3), ("max 100000", 64)])
def test_the_quota_of_a_nested_cgroup_is_a_limit(machine: Path, quota: str, count: int) -> None:
    (machine / "of_process").write_text("0::/slurm/job_1/step_0\n")
    (machine / "slurm" / "job_1" / "step_0").mkdir(parents=True)
    (machine / "slurm" / "job_1" / "cpu.max").write_text(f"{quota}\n")
    assert available_cpus() == count


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 64)])
def test_version_1_of_cgroups_has_quotas_too(machine: Path, quota: str, count: int) -> None:
    (machine / "of_process").write_text("4:memory:/m\n1:cpu,cpuacct:/docker/abc\n")
    container = machine / "cpu,cpuacct"  # in a container, its own cgroup is the root
    container.mkdir()
    (container / "cpu.cfs_quota_us").write_text(quota)
    (container / "cpu.cfs_period_us").write_text("100000")
    assert available_cpus() == count


def test_the_memory_of_the_machine_is_the_limit_outside_of_cgroups() -> None:
    assert 0 < available_memory_bytes() <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("group", "limit", "used"),
    [
        ("0::/job", "job/memory.max", "job/memory.current"),
        ("4:memory:/job", "memory/job/memory.limit_in_bytes", "memory/job/memory.usage_in_bytes"),
    ],
)
def test_a_cgroup_limits_the_memory(machine: Path, group: str, limit: str, used: str) -> None:
    (machine / "of_process").write_text(f"{group}\n")
    (machine / limit).parent.mkdir(parents=True)
    (machine / limit).write_text("5000000\n")
    (machine / used).write_text("3000000\n")
    assert available_memory_bytes() == 2_000_000
    (machine / limit).write_text("max\n")
    assert available_memory_bytes() > 2_000_000
