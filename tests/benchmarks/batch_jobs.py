"""CPUs and memory that a sweep takes where it may use a part of a machine: batch jobs, containers.

    python -m tests.benchmarks.batch_jobs      (as root, on Linux with cgroups of version 1)

Each condition is made for real: the scheduler's affinity, limits of cgroups, SLURM's variable,
and a machine of 64 CPUs, which a mount namespace pretends. A whole small sweep runs under each,
then `finesweep predict`. Threads are counted in /proc, by the CPU time that each has used.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from search.record import SweepPaths
from tests.benchmarks.measuring import ROOT, SCRATCH, fresh, write_table

FOLDER = SCRATCH / "batch_jobs"
CGROUPS = {
    "cpu.cfs_quota_us": Path("/sys/fs/cgroup/cpu/finesweep-batch-jobs"),
    "memory.limit_in_bytes": Path("/sys/fs/cgroup/memory/finesweep-batch-jobs"),
}
"""Cgroup of each limit, by the file that holds the limit."""
ONLINE = "/sys/devices/system/cpu/online"
"""File that `os.cpu_count` reads, through the C library."""
BUSY = 0.2
"""Share of the CPU time of its process's busiest thread from which on a thread counts."""
SPACE = 'image_size = 32\nbatch_size = 32\nbackbone = "test_efficientnet"\nunfreeze = 1.0\n'
RECORDER = '''
"""Records the threads of a process: those of its pools, and torch's at its end."""
import atexit, json, os, sys, threading
from concurrent.futures import ThreadPoolExecutor

def say(**values):
    with open(os.environ["THREADS_LOG"], "a") as log:
        log.write(json.dumps({"pid": os.getpid(), **values}) + "\\n")

def at_end():
    if "torch" in sys.modules:
        import torch
        say(torch=torch.get_num_threads())

def init(self, max_workers=None, *arguments, **options):
    module = sys._getframe(1).f_globals.get("__name__", "")
    if module.startswith("trainables"):
        say(module=module, pool=max_workers)
    begin(self, max_workers, *arguments, **options)

begin, ThreadPoolExecutor.__init__ = ThreadPoolExecutor.__init__, init
atexit.register(at_end)
'''


@dataclass(frozen=True)
class Condition:
    """What limits the CPUs or the memory of a command."""

    name: str
    affinity: int = 0
    """Number of CPUs that the process may run on; 0 for all."""
    quota: int = 0
    """CPUs of the cgroup's quota; 0 for none."""
    memory_gib: int = 0
    """GiB of memory that the cgroup may use; 0 for no limit."""
    machine: int = 0
    """CPUs that the machine pretends to have; 0 for the truth."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def limits(self) -> dict[str, int]:
        """Values of the files of `CGROUPS`."""
        values = {
            "cpu.cfs_quota_us": self.quota * 100_000,
            "memory.limit_in_bytes": self.memory_gib * 2**30,
        }
        return {file: value for file, value in values.items() if value}

    def command(self, words: Sequence[str]) -> list[str]:
        """The command ``words`` in this condition."""
        steps = ['exec "$@"']
        for file in self.limits:
            steps.insert(0, f"echo $$ > {CGROUPS[file]}/cgroup.procs")
        if self.affinity:
            steps[-1] = f'exec taskset --cpu-list 0-{self.affinity - 1} "$@"'
        if self.machine:
            steps.insert(0, f"mount --bind {FOLDER}/online {ONLINE}")
        isolated = ["unshare", "--mount"] if self.machine else []
        return [*isolated, "sh", "-c", " && ".join(steps), "sh", *words]


CONDITIONS = [
    Condition("none"),
    Condition("affinity of 1", affinity=1),
    Condition("quota of 1", quota=1),
    Condition("3 GiB of memory", memory_gib=3),
    Condition("SLURM_CPUS_PER_TASK=1", environment={"SLURM_CPUS_PER_TASK": "1"}),
    Condition("64 CPUs, affinity of 2", machine=64, affinity=2),
    Condition("64 CPUs, quota of 1", machine=64, quota=1),
    Condition(
        "64 CPUs, affinity of 2 and SLURM_CPUS_PER_TASK=1",
        machine=64,
        affinity=2,
        environment={"SLURM_CPUS_PER_TASK": "1"},
    ),
]


@contextmanager
def cgroups(limits: Mapping[str, int]) -> Iterator[None]:
    """Cgroups with these limits, by file of `CGROUPS`."""
    folders = [CGROUPS[file] for file in limits]
    for folder in folders:
        folder.mkdir()
    try:
        for file, value in limits.items():
            (CGROUPS[file] / file).write_text(str(value))
        yield
    finally:
        until = time.monotonic() + 30
        for folder in folders:
            while (folder / "cgroup.procs").read_text() and time.monotonic() < until:
                time.sleep(0.1)
            folder.rmdir()


Seconds = dict[tuple[str, str, int, int], tuple[float, float]]
"""CPU seconds of a thread when it was first and last seen, by stage, role, process and thread."""


def watch(process: "subprocess.Popen[bytes]", paths: SweepPaths) -> Seconds:
    """Watch the threads of a sweep's driver and of its trials until the driver ends."""
    seconds: Seconds = {}
    while process.poll() is None:
        stage = "search"
        if paths.staged.metrics.exists() or paths.metrics.exists():
            stage = "export"
        elif paths.staged.final_model.exists():
            stage = "retrain"
        with suppress(psutil.NoSuchProcess):
            driver = psutil.Process(process.pid)
            for each in (driver, *driver.children(recursive=True)):
                with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    is_trial = "ray::FineTuneTrial" in " ".join(each.cmdline())
                    if each is driver or is_trial or "ray::Resource" in " ".join(each.cmdline()):
                        role = "driver" if each is driver else "trial"
                        for thread in each.threads():
                            key = (stage, role, each.pid, thread.id)
                            used = thread.user_time + thread.system_time
                            seconds[key] = (seconds.get(key, (used, used))[0], used)
        time.sleep(0.2)
    return seconds


def busy_threads(seconds: Seconds, stage: str, role: str) -> int:
    """Largest number of threads of one process that used much of its CPU time in a stage."""
    processes: dict[int, list[float]] = {}
    for (at, who, pid, _), (first, last) in seconds.items():
        if (at, who) == (stage, role):
            processes.setdefault(pid, []).append(last - first)
    return max(sum(used >= BUSY * max(each) for used in each) for each in processes.values())


def measure(condition: Condition, number: int) -> str:
    """Run a sweep and `predict` in a condition; the row of the table."""
    paths, log = SweepPaths(FOLDER / f"sweep-{number}"), FOLDER / f"threads-{number}.jsonl"
    python = [sys.executable, "-m", "search"]
    launch = [*python, "launch", str(FOLDER / "digits"), "--space", str(FOLDER / "space.toml")]
    launch += ["--weights", "untrained", "--trials", "2", "--max-epochs", "4", "--confirm", "0"]
    launch += ["--stopping", "none", "--name", paths.root.name, "--results-dir", str(FOLDER)]
    launch += ["--cache-dir", str(FOLDER / f"cache-{number}")]
    path = os.pathsep.join([str(FOLDER / "recorder"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "THREADS_LOG": str(log)} | condition.environment
    with cgroups(condition.limits):
        with (FOLDER / f"sweep-{number}.err").open("wb") as said:
            sweep = subprocess.Popen(
                condition.command(launch), cwd=ROOT, env=environment, stdout=said, stderr=said
            )
            seconds = watch(sweep, paths)
        assert sweep.returncode == 0, (FOLDER / f"sweep-{number}.err").read_text()
        driver = [json.loads(line) for line in log.read_text().splitlines()]
        log.unlink()
        words = [*python, "predict", str(paths.export), str(FOLDER / "digits" / "0")]
        subprocess.run(
            condition.command(words), cwd=ROOT, env=environment, check=True, capture_output=True
        )
        predict = [json.loads(line) for line in log.read_text().splitlines()]
    said_by_sweep = paths.log.read_text()
    declared = re.search(r"machine \S+: (\d+) CPUs, (\S+) GiB of memory", said_by_sweep)
    each = re.search(r"(\d+) at a time, each with (\S+) CPUs", said_by_sweep)
    assert declared and each
    pools = sorted({line["pool"] for line in driver + predict if "pool" in line})
    (of_predict,) = (line for line in predict if "torch" in line)
    return " | ".join(
        [
            f"| {condition.name}",
            declared[1],
            declared[2],
            f"{each[1]}, {each[2]}",
            str(busy_threads(seconds, "search", "trial")),
            str(busy_threads(seconds, "retrain", "driver")),
            ", ".join(map(str, pools)),
            f"{of_predict['torch']} |",
        ]
    )


def main() -> None:
    """Measure all conditions, and write the table."""
    fresh(FOLDER)
    digits = [sys.executable, ROOT / "examples" / "datasets.py", "digits", FOLDER / "digits"]
    subprocess.run(digits, check=True, stdout=subprocess.DEVNULL)
    (FOLDER / "space.toml").write_text(SPACE)
    (FOLDER / "online").write_text("0-63\n")
    (FOLDER / "recorder").mkdir()
    (FOLDER / "recorder" / "sitecustomize.py").write_text(RECORDER)
    rows = []
    for number, condition in enumerate(CONDITIONS):
        rows.append(measure(condition, number))
        print(rows[-1], file=sys.stderr)
    columns = [
        "limit",
        "CPUs that Ray declares",
        "GiB of memory that the sweep counts on",
        "trials at a time, CPUs of each",
        "threads of a trial",
        "threads of the retraining",
        "threads of a pool",
        "torch threads of `predict`",
    ]
    write_table(
        "batch_jobs",
        "CPUs and memory that a sweep takes in batch jobs and containers",
        "python -m tests.benchmarks.batch_jobs",
        [
            "A sweep of two trials over 1,797 digits and `predict` under each limit. 64 CPUs are "
            f"pretended by a mount over {ONLINE}, so that `os.cpu_count()` is 64; where no "
            "affinity is named, it is all real CPUs. Threads of a trial and of the retraining are "
            "those with a fifth or more of the CPU time of their process's busiest thread; those "
            "of pools and `predict` are what Python says.",
            "",
            f"| {' | '.join(columns)} |",
            "|" + " --- |" * len(columns),
            *rows,
        ],
        rounds=False,
    )


if __name__ == "__main__":
    main()
