"""Faults of the machine: a full disk, a results folder that is removed, no memory left."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.record import SweepPaths, read_trials
from tests.support.command_line import flags

pytestmark = pytest.mark.slow
FINESWEEP = [sys.executable, "-m", "search"]


def has_traceback(stderr: str) -> bool:
    """Whether a command printed a traceback and not sentences alone."""
    return "Traceback" in stderr


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a small disk needs root and unshare"
)
def test_a_full_disk_is_reported_and_the_sweep_resumes_once_there_is_room(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    results, after = tmp_path / "results", tmp_path / "after"
    results.mkdir()
    values = {**settings, "name": "full", "results_dir": results, "retrain": False, "trials": 3}
    values |= {"max_epochs": 8, "stopping": "none"}
    launch = shlex.join([*FINESWEEP, "launch", str(settings["data"]), *flags(values)])
    resume = shlex.join([*FINESWEEP, "resume", "full", "--results-dir", str(results)])
    script = f"""
        mount -t tmpfs -o size=1m none {results} || exit 77
        {launch}; echo "launch ended with $?"
        mount -o remount,size=200m {results}
        {resume}; echo "resume ended with $?"
        cp -r {results}/full {after}
    """
    command = ["unshare", "--mount", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    if done.returncode == 77:
        pytest.skip("no mounts here")
    assert "launch ended with 1" in done.stdout, done.stderr
    assert "No space left on device" in done.stderr
    assert "finesweep resume full" in done.stderr or "search resume full" in done.stderr
    assert not has_traceback(done.stderr), done.stderr
    assert "resume ended with 0" in done.stdout, done.stderr
    trials = read_trials(SweepPaths(after).journal)
    assert len(trials) == 3
    assert {t.status for t in trials} == {"completed"}


def test_a_removed_results_folder_ends_the_sweep_with_one_sentence(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "gone")
    values = {**settings, "name": "gone", "results_dir": tmp_path, "max_epochs": 200}
    values |= {"stopping": "none"}
    command = [*FINESWEEP, "launch", str(settings["data"]), *flags(values)]
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 200
    while not any(trial.reports for trial in read_trials(paths.journal)):
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    paths.root.rename(tmp_path / "elsewhere")
    _, stderr = running.communicate(timeout=100)
    assert running.returncode == 1
    assert "can't continue" in stderr
    assert not has_traceback(stderr), stderr


def test_trials_killed_for_memory_are_reported_as_such(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """Ray's memory monitor is set to a threshold that nearly any use exceeds."""
    values = {**settings, "name": "memory", "results_dir": tmp_path}
    command = [*FINESWEEP, "launch", str(settings["data"]), *flags(values)]
    watch = {"RAY_memory_monitor_refresh_ms": "100", "RAY_memory_usage_threshold": "0.01"}
    env = {**os.environ, **watch}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "Trials failed for one cause, and none finished a round" in last
    assert "memory" in last
    assert not has_traceback(done.stderr), done.stderr
