import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.record import SweepPaths, read_trials
from tests.support.command_line import flags
from tests.support.two_hosts import HEAD, NAMES, OTHER, PORT, UNAVAILABLE, Hosts, hosts

__all__ = ["hosts"]
ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(UNAVAILABLE, reason="needs root, ip and unshare"),
]


@pytest.fixture
def given(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Settings of a sweep called "far" over both hosts."""
    for name in ("cache", "results"):
        (tmp_path / name).mkdir()
    here = {"cache_dir": tmp_path / "cache", "results_dir": tmp_path / "results", "name": "far"}
    here |= {"address": f"{HEAD}:{PORT}", "retrain": False, "trials": 6, "stopping": "none"}
    return {**settings, **here}


def test_images_and_weights_travel_to_a_host_that_has_neither(
    given: dict[str, Any], hosts: Hosts
) -> None:
    given |= {"trials": 3, "max_epochs": 100}  # long enough for the other host's worker to join in
    folders = (given["data"], given["cache_dir"], given["results_dir"])
    with hosts.cluster(dict.fromkeys(folders, "50%")) as second:
        done = hosts.finesweep("launch", given["data"], *flags(given))
        assert done.returncode == 0, done.stderr + done.stdout
        look = ["nsenter", "-t", str(second.pid), "-m", "find", *map(str, folders[1:])]
        found = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    assert ".npy\n" in found, "the other host fetched the images"
    assert "study.journal" not in found, "only the driver writes"
    trials = read_trials(SweepPaths(given["results_dir"] / "far").journal)
    assert [trial.status for trial in trials] == ["completed"] * 3


def test_a_host_whose_disk_is_full_is_excluded_with_a_warning(
    given: dict[str, Any], hosts: Hosts
) -> None:
    given |= {"max_epochs": 20, "trials": 8}
    with hosts.cluster({given["cache_dir"]: "64k"}):
        done = hosts.finesweep("launch", given["data"], *flags(given))
    assert done.returncode == 0, done.stderr + done.stdout
    (named,) = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert f"({OTHER}) is left out: the last 3 trials there failed" in named
    assert "No space left on device" in named
    trials = read_trials(SweepPaths(given["results_dir"] / "far").journal)
    assert [trial.status for trial in trials] == ["completed"] * 8, "on the other host"


def test_the_slurm_script_runs_on_two_nodes_and_resumes_when_submitted_again(
    given: dict[str, Any], hosts: Hosts, tmp_path: Path
) -> None:
    """Stand-ins replace SLURM's two commands; each node has its own processes and empty disks."""
    paths, commands = SweepPaths(given["results_dir"] / "far"), tmp_path / "bin"
    commands.mkdir()
    scripts = {"scontrol": f"echo {HEAD}; echo {OTHER}", "srun": ""}
    for name in NAMES:
        own = [Path("/tmp/ray")]
        own += [given["data"], given["cache_dir"], paths.root.parent] if name == NAMES[1] else []
        words = hosts.within(name, disks=dict.fromkeys(own, "50%"), isolated=True)
        scripts["srun"] += f'{shlex.join(words)} "$@" &\n{name}=$!\n'
    scripts["srun"] += "wait $fs1; ended=$?; kill -9 $fs2; exit $ended"
    for name, text in scripts.items():
        (commands / name).write_text(f"#!/bin/bash\n{text}\n")
        (commands / name).chmod(0o755)
    options = {k: v for k, v in given.items() if k not in ("name", "address", "results_dir")}
    options |= {"trials": 3, "max_epochs": 20}
    env = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"SLURM_JOB_NODELIST": "two", "SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"}
    env |= {"SLURM_CPUS_PER_TASK": "1", "ENVIRONMENT": "BATCH", "VENV": sys.prefix, "NAME": "far"}
    env |= {"DATA": str(given["data"]), "RESULTS": str(paths.root.parent)}
    env |= {"OPTIONS": " ".join(flags(options))}
    job = ["bash", str(ROOT / "search" / "cluster" / "templates" / "slurm.sh")]

    said = tmp_path / "said"
    with said.open("w") as log:
        running = subprocess.Popen(job, stdout=log, stderr=log, env=env, start_new_session=True)
    until = time.monotonic() + 200
    while not any(trial.reports for trial in read_trials(paths.journal)):
        assert running.poll() is None and time.monotonic() < until, said.read_text()
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    hosts.kill_all()
    machines = [line for line in paths.log.read_text().splitlines() if "machine " in line]
    assert len(machines) == 2, machines

    done = subprocess.run(job, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resumed: " in done.stderr
    assert [trial.status for trial in read_trials(paths.journal)] == ["completed"] * 3
