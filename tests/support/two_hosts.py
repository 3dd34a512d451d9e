"""Two simulated hosts without a shared disk, for tests of a Ray cluster.

Each host is a Linux network namespace. Commands on it may have their own mounts and process ids.
This needs root, ``ip`` and ``unshare``.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("fs1", "fs2")
HEAD, OTHER = "10.77.0.1", "10.77.0.2"
PORT = 26379
UNAVAILABLE = os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare")
_QUIET = subprocess.DEVNULL
_WAIT_FOR_NODES = """
import sys, time
import ray
until = time.monotonic() + 120
while not ray.is_initialized():
    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
    except (ConnectionError, RuntimeError):
        assert time.monotonic() < until
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[2]):
    assert time.monotonic() < until
    time.sleep(0.2)
"""


@dataclass(frozen=True)
class Hosts:
    """The two hosts, and ways to run commands and a Ray cluster on them."""

    ray_folder: Path
    """Folder of Ray's files. Its path is short, because paths of Unix sockets must be short."""

    @property
    def env(self) -> dict[str, str]:
        """Environment variables of this process and the cluster's access token."""
        return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}

    def within(
        self,
        host: str,
        *words: str,
        disks: Mapping[Path, str] | None = None,
        isolated: bool = False,
    ) -> list[str]:
        """Command line that runs the command ``words`` on a host.

        ``disks`` maps folders to sizes (such as "50%"); an empty disk is mounted over each folder.
        An ``isolated`` command sees only its own processes, which end with it.
        """
        mounts = "".join(
            f"mkdir -p {folder} && mount -t tmpfs -o size={size} none {folder} && "
            for folder, size in (disks or {}).items()
        )
        alone = ["--pid", "--fork", "--mount-proc", "--kill-child"] if isolated else []
        return [
            *("ip", "netns", "exec", host, "unshare", "--mount", *alone),
            *("sh", "-c", f'{mounts}exec "$@"', "sh", *words),
        ]

    def kill_all(self) -> None:
        """Kill every process on the hosts."""
        for host in NAMES:
            listed = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
            for pid in listed.stdout.split():
                subprocess.run(["kill", "-9", pid], capture_output=True)

    @contextmanager
    def cluster(self, disks: Mapping[Path, str]) -> Iterator["subprocess.Popen[bytes]"]:
        """Ray cluster with a one-CPU node on each host. ``disks`` are mounted on the second host.

        Yields the process of the second host's node.
        """
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
        head = self.within(
            NAMES[0],
            *(*ray, "--head", f"--node-ip-address={HEAD}", f"--port={PORT}"),
            *(f"--temp-dir={self.ray_folder}", "--include-dashboard=false"),
        )
        joined = self.within(
            NAMES[1],
            *(*ray, f"--address={HEAD}:{PORT}", f"--node-ip-address={OTHER}"),
            disks={**disks, self.ray_folder: "50%"},
        )
        started = [self.start(head)]
        try:
            self._wait_for(1)
            started.append(self.start(joined))
            self._wait_for(2)
            yield started[1]
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()

    def start(self, words: Sequence[str]) -> "subprocess.Popen[bytes]":
        """Start a command in the background."""
        return subprocess.Popen(words, stdout=_QUIET, stderr=_QUIET, env=self.env)

    def finesweep(self, *words: object, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """Run a `finesweep` command on the first host."""
        command = [sys.executable, "-m", "search", *map(str, words)]
        return subprocess.run(
            self.within(NAMES[0], *command),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.env,
        )

    def _wait_for(self, nodes: int) -> None:
        """Wait until the cluster has this many live nodes."""
        done = subprocess.run(
            self.within(
                NAMES[0], sys.executable, "-c", _WAIT_FOR_NODES, f"{HEAD}:{PORT}", str(nodes)
            ),
            capture_output=True,
            text=True,
            env=self.env,
        )
        assert done.returncode == 0, f"{nodes} nodes did not come up: {done.stderr}"


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two network namespaces, connected by a virtual cable."""
    try:
        _run("ip", "netns", "add", NAMES[0])
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespaces here: {refused.stderr.decode().strip()}")
    _run("ip", "netns", "add", NAMES[1])
    cable = ("type", "veth", "peer", "fsv2", "netns", NAMES[1])
    _run("ip", "link", "add", "fsv1", "netns", NAMES[0], *cable)
    for host, device, address in zip(NAMES, ("fsv1", "fsv2"), (HEAD, OTHER), strict=True):
        _run("ip", "-n", host, "addr", "add", f"{address}/24", "dev", device)
        _run("ip", "-n", host, "link", "set", device, "up")
        _run("ip", "-n", host, "link", "set", "lo", "up")
    folder = Path(tempfile.mkdtemp(prefix="fs"))
    made = Hosts(folder)
    yield made
    made.kill_all()
    for host in NAMES:
        _run("ip", "netns", "del", host)
    shutil.rmtree(folder, ignore_errors=True)


_TOKEN = secrets.token_hex(32)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
