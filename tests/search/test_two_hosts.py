"""Two machines without a shared disk: network namespaces, and mounts of their own on the second."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.paths import SweepPaths
from search.study import read_trials
from tests.search.commands import flags

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
        reason="needs root, ip and unshare",
    ),
]

HEAD, OTHER = "10.77.0.1", "10.77.0.2"
PORT = 26379
ENV = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
RAY = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]


def do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def within(host: str, *words: str, hidden: tuple[Path, ...] = ()) -> list[str]:
    """A command as it runs on a host; an empty disk of its own lies over ``hidden``."""
    mounts = "".join(f"mount -t tmpfs none {folder} && " for folder in hidden)
    return [
        *("ip", "netns", "exec", host, "unshare", "--mount"),
        *("sh", "-c", f'{mounts}exec "$@"', "sh", *words),
    ]


def wait_for(machines: int, cache: Path) -> None:
    """Until so many are there, by our own preflight on the first."""
    words = [sys.executable, "-m", "search", "preflight", "--address", f"{HEAD}:{PORT}"]
    until, said = time.monotonic() + 120, ""
    while time.monotonic() < until:
        asked = subprocess.run(
            within("fs1", *words, "--cache-dir", str(cache)),
            capture_output=True,
            text=True,
            env=ENV,
        )
        if len(asked.stdout.splitlines()) == machines:
            return
        said = asked.stdout + asked.stderr
    pytest.fail(f"{machines} machines did not come up: {said}")


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two namespaces, joined by a cable."""
    try:
        do("ip", "netns", "add", "fs1")
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespaces here: {refused.stderr.decode().strip()}")
    do("ip", "netns", "add", "fs2")
    do("ip", "link", "add", "fsv1", "netns", "fs1", "type", "veth", "peer", "fsv2", "netns", "fs2")
    for host, device, address in (("fs1", "fsv1", HEAD), ("fs2", "fsv2", OTHER)):
        do("ip", "-n", host, "addr", "add", f"{address}/24", "dev", device)
        do("ip", "-n", host, "link", "set", device, "up")
        do("ip", "-n", host, "link", "set", "lo", "up")
    yield
    for host in ("fs1", "fs2"):
        listed = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
        for pid in listed.stdout.split():
            subprocess.run(["kill", "-9", pid], capture_output=True)
        do("ip", "netns", "del", host)


def test_images_and_weights_travel_to_a_host_that_has_neither(
    settings: dict[str, Any], hosts: None, tmp_path: Path
) -> None:
    cache, results = tmp_path / "cache", tmp_path / "results"
    ray_folder = Path(tempfile.mkdtemp(prefix="fs"))  # the paths of its sockets must be short
    for folder in (cache, results):
        folder.mkdir()
    temp = f"--temp-dir={ray_folder}"
    head = within(
        "fs1",
        *(*RAY, "--head", f"--node-ip-address={HEAD}", f"--port={PORT}", temp),
        "--include-dashboard=false",
    )
    joined = within(
        "fs2",
        *(*RAY, f"--address={HEAD}:{PORT}", f"--node-ip-address={OTHER}"),
        hidden=(settings["data"], cache, results, ray_folder),
    )
    given = {**settings, "address": f"{HEAD}:{PORT}", "cache_dir": cache, "results_dir": results}
    given |= {"name": "far", "trials": 6, "stopping": "none", "retrain": False}
    given |= {"max_epochs": 100}  # so long that the other host's worker has its share
    launch = [sys.executable, "-m", "search", "launch", str(settings["data"]), *flags(given)]

    def start(words: list[str]) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(words, stdout=quiet, stderr=quiet, env=ENV)

    machines = [start(head)]
    try:
        wait_for(1, cache)
        machines.append(start(joined))
        wait_for(2, cache)
        done = subprocess.run(
            within("fs1", *launch), capture_output=True, text=True, timeout=300, env=ENV
        )
        assert done.returncode == 0, done.stderr + done.stdout
        look = ["nsenter", "-t", str(machines[1].pid), "-m", "find", str(cache), str(results)]
        found = subprocess.run(look, capture_output=True, text=True, check=True).stdout
    finally:
        for machine in reversed(machines):
            machine.kill()
            machine.wait()
        shutil.rmtree(ray_folder, ignore_errors=True)
    assert ".npy\n" in found, "the images were brought to the other host"
    assert "study.journal" not in found, "only the driver writes"
    trials = read_trials(SweepPaths(results / "far").journal)
    assert [trial.status for trial in trials] == ["completed"] * 6
