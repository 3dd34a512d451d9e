"""Chaos harness: kills drivers, workers and nodes of a real sweep at random moments."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ray.cluster_utils import Cluster

from tests.chaos.driver import EPOCH_LOG

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 900
"""Time after which a sweep that has not ended counts as lost."""
PAUSE_SECONDS = (1.0, 16.0)
"""Shortest and longest pause before a kill."""
WORKERS = ("ray::ResourceTrainable", "ray::FineTuneTrial", "ray::ImplicitFunc")
"""Start of the process title of Ray workers that run trials.

Finesweep's trials are a trainable class; the stock script's are a function.
"""

_PRELOAD = "RAY_preload_python_modules"


@dataclass
class SweepRecord:
    """Record of one sweep: the kills it suffered, and its outcome."""

    kills: Counter[str] = field(default_factory=Counter)
    drivers: int = 0
    """Number of driver processes that were started."""
    seconds: float = 0.0
    lost: bool = False
    """Whether the sweep never finished."""
    stderr: str = ""
    """Standard error of all drivers, one after another."""


class Machines:
    """Three raylets on this machine: the driver's head node, and two nodes that may be killed."""

    def __init__(self) -> None:
        os.environ.setdefault(_PRELOAD, "search.trial.trainable")
        args = {"num_cpus": 1, "num_gpus": 0, "include_dashboard": False, "dashboard_port": None}
        self._cluster = Cluster(initialize_head=True, head_node_args=args)
        self._nodes = [self._cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2)]

    @property
    def address(self) -> str:
        """Address of the head node."""
        address: str = self._cluster.address
        return address

    def lose_one(self, chance: random.Random) -> None:
        """Kill a random node with its workers, and add a new one."""
        node = self._nodes.pop(chance.randrange(len(self._nodes)))
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._cluster.add_node(num_cpus=1, num_gpus=1))

    def workers(self) -> list[int]:
        """Ids of the processes that run trials."""
        nodes = [self._cluster.head_node, *self._nodes]
        raylets = {node.all_processes["raylet"][0].process.pid for node in nodes}
        words = ["ps", "-eo", "pid,ppid,args"]
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
        return [
            int(pid)
            for pid, parent, name in rows
            if int(parent) in raylets and name.startswith(WORKERS)
        ]

    def close(self) -> None:
        """Shut the cluster down."""
        self._cluster.shutdown()
        os.environ.pop(_PRELOAD, None)


def run_under_kills(
    machines: Machines,
    command: Sequence[str],
    kills: Sequence[str],
    *,
    log: Path,
    chance: random.Random,
    pause_seconds: tuple[float, float] = PAUSE_SECONDS,
) -> SweepRecord:
    """Run the driver ``command`` until it exits with status 0, and kill processes meanwhile.

    ``kills`` lists the kinds to kill: "driver", "worker" or "node". Before each kill is a pause,
    drawn from the range ``pause_seconds``. A driver that was killed or exits with another status
    is started again. Standard error of all drivers goes to the file ``log``.
    """
    record, began = SweepRecord(), time.monotonic()
    left = list(kills)
    log.unlink(missing_ok=True)
    driver = _start(command, log)
    record.drivers = 1
    while time.monotonic() - began < LIMIT_SECONDS:
        if left and driver.poll() is None:
            _wait(driver, chance.uniform(*pause_seconds))
        if driver.poll() == 0:
            break
        if driver.poll() is not None:
            if record.drivers > len(kills) + 3:  # it keeps failing by itself
                record.lost = True
                break
            driver = _start(command, log)
            record.drivers += 1
        elif left:
            kind = left.pop(0)
            if _kill(kind, driver, machines, chance):
                record.kills[kind] += 1
            else:
                left.append(kind)  # no such process now; try again later
        else:
            _wait(driver, LIMIT_SECONDS)
    else:
        record.lost = True
    driver.kill()
    driver.wait()
    record.seconds, record.stderr = time.monotonic() - began, log.read_text("utf-8")
    return record


def repeated_epochs(cache: Path) -> int:
    """Number of finished epochs that had been finished before."""
    runs = Counter((cache / EPOCH_LOG).read_text("utf-8").splitlines())
    return sum(count - 1 for count in runs.values())


def settings_file(folder: Path, *, data: Path, address: str, seed: int, trials: int) -> Path:
    """Empty ``folder``, and write the settings file of a small sweep into it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    space = folder / "space.toml"
    space.write_text(
        'image_size = 32\nbatch_size = 16\nbackbone = "test_efficientnet"\n'
        "[unfreeze]\nlow = 0.0\nhigh = 1.0\n[learning_rate]\nlow = 1e-3\nhigh = 1e-2\nlog = true\n"
    )
    values = {
        "data": data,
        "name": "sweep",
        "space": space,
        "weights": "untrained",
        "trials": trials,
        "max_epochs": 6,
        "gpus_per_trial": 0,
        "seed": seed,
        "address": address,
        "results_dir": folder,
        "cache_dir": folder / "cache",
        "retrain": False,
    }
    file = folder / "settings.json"
    file.write_text(json.dumps(values, default=str))
    return file


def _start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("a") as stderr:
        words = [sys.executable, *command]
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr)


def _wait(driver: "subprocess.Popen[bytes]", seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        driver.wait(seconds)


def _kill(
    kind: str, driver: "subprocess.Popen[bytes]", machines: Machines, chance: random.Random
) -> bool:
    """Kill a process of this kind. Returns False if there is none."""
    if kind == "driver":
        driver.kill()
        driver.wait()
    elif kind == "node":
        machines.lose_one(chance)
    else:
        workers = machines.workers()
        if not workers:
            return False
        os.kill(chance.choice(workers), signal.SIGKILL)
    return True
