import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from search.cluster import connect_to_ray
from tests.support.ray_heads import started_head

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


STARTED = """
import ray
from ray._private.runtime_env import uv_runtime_env_hook
from search.cluster import connect_to_ray

uv_runtime_env_hook._get_uv_run_cmdline = lambda: ["uv", "run", "a.py"]
connect_to_ray("local")
print(int(ray.cluster_resources()["CPU"]), ray.get_runtime_context().runtime_env.to_dict())
"""


@pytest.mark.slow
def test_a_local_cluster_starts_below_a_long_path_and_uploads_nothing_under_uv(
    tmp_path: Path,
) -> None:
    variables = {"TMPDIR": str(tmp_path / ("x" * 60)), "SLURM_CPUS_PER_TASK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout == "1 {}\n", done.stderr


def test_an_interrupt_waits_until_ray_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(*arguments: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        started.append(arguments)

    monkeypatch.setenv("RAY_preload_python_modules", "")
    monkeypatch.setenv("RAY_idle_worker_killing_time_threshold_ms", "")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", start)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        connect_to_ray("local")
    assert started == [("local",)]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_a_cluster_of_another_version_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with started_head("2.9.0") as (address, head):
        said = ""
        while "Version mismatch" not in said:
            assert head.poll() is None, said
            time.sleep(1)
            said = _connect(address)
    assert said.count("\n") == 1
    assert said.startswith("ConfigError: The Ray cluster at ")
    assert "Ray: 2.9.0" in said
    assert said.endswith("if the versions differ, install the same on every machine.\n")


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="namespaces need root and unshare"
)
@pytest.mark.parametrize(
    "outside",
    [
        ["unshare", "--pid", "--fork", "--mount-proc"],
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /tmp && exec "$@"', "sh"],
    ],
    ids=["no-node", "a-node-in-another-container"],
)
def test_a_machine_outside_the_cluster_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, outside: list[str]
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with started_head(ray.__version__) as (address, head):
        while said := _connect(address):
            assert head.poll() is None, said
            time.sleep(1)
        said = _connect(address, outside)
    port = address.rpartition(":")[2]
    assert re.fullmatch(
        f"ConfigError: The Ray cluster at '{address}' answers, but this machine does not belong to "
        rf"it; run 'ray start --address=[\d.]+:{port}' here, or the command on a machine of the "
        r"cluster\.\n",
        said,
    )


@pytest.mark.slow
def test_a_token_that_is_missing_or_wrong_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without a token in ~/.ray
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "the-cluster's")
    with started_head(ray.__version__) as (address, head):
        while said := _connect(address, check="address.check_address"):
            assert head.poll() is None, said
            time.sleep(1)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
        wrong = _connect(address, check="address.check_address")
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        none = _connect(address, check="address.check_address")
        monkeypatch.delenv("RAY_AUTH_MODE")
        off = _connect(address, check="address.check_address")
    cluster = f"ConfigError: The Ray cluster at '{address}'"
    way_out = "; with RAY_AUTH_MODE=token, set RAY_AUTH_TOKEN to what 'ray get-auth-token' prints "
    assert wrong.startswith(f"{cluster} refuses this machine's token{way_out}")
    assert off.startswith(f"{cluster} requires a token{way_out}")
    assert none.startswith(f"ConfigError: RAY_AUTH_MODE is token, but no token was found{way_out}")
    assert [said.count("\n") for said in (wrong, none, off)] == [1, 1, 1]


def _connect(
    address: str, place: Sequence[str] = (), *, check: str = "connection.connect_to_ray"
) -> str:
    """What connecting to a cluster says, in a process of its own that a command may ``place``.

    ``check`` may do a part of it.
    """
    script = f"""if True:
        from search.cluster import address, connection
        try:
            {check}({address!r})
        except Exception as error:
            print(f"{{type(error).__name__}}: {{error}}")
    """
    command = [*place, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout
