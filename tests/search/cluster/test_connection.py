import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.cluster import connect_to_ray
from spaces import ConfigError

SCRIPT = """
import json, os, subprocess, sys, time

from search import Sweep, SweepConfig
from search.cluster import connect_to_ray
from search.tuning.searcher import StudySearcher


def waiting():
    # workers of this process's own Ray without a task: their parent, a raylet, is its child
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    raylets = {pid for pid, parent, _ in rows if int(parent) == os.getpid()}
    return {int(pid) for pid, parent, title in rows if parent in raylets and "ray::IDLE" in title}


connect_to_ray("local")
while len(waiting()) < 2:
    time.sleep(0.2)
before = waiting()
used = set()
seen = StudySearcher.on_trial_complete
StudySearcher.on_trial_complete = lambda self, trial_id, result, error=False: (
    used.add(result["pid"]), seen(self, trial_id, result, error)
)
Sweep(SweepConfig.parse(json.loads(sys.argv[1]))).run()
print(json.dumps([sorted(before), sorted(used)]))
"""


@pytest.mark.slow
def test_tune_uses_workers_that_have_already_imported_the_modules(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    values = {**settings, "name": "taken", "results_dir": tmp_path, "trials": 2, "points": None}
    given = json.dumps({**values, "max_epochs": 1, "retrain": False}, default=str)
    command = [sys.executable, "-c", SCRIPT, given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    before, used = json.loads(done.stdout.splitlines()[-1])
    assert used
    assert set(used) <= set(before)


def test_an_address_without_a_cluster_is_reported_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", _nobody)
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at 'auto' .*--address local"):
        connect_to_ray("auto")


def _nobody(**given: object) -> None:
    raise ConnectionError("Could not find any running Ray instance.")
