"""Two machines without a shared disk: network namespaces, with mounts and processes of their own.

They need root, ``ip`` and ``unshare``.
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
MISSING = os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare")
_QUIET = subprocess.DEVNULL
_COUNT = """
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
    """The two; a command that runs on one sees its own network, and disks where it is told so."""

    ray_folder: Path
    """Ray's files; short, for the paths of its sockets."""

    @property
    def env(self) -> dict[str, str]:
        """With which Ray's commands and ours find each other."""
        return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}

    def within(
        self,
        host: str,
        *words: str,
        disks: Mapping[Path, str] | None = None,
        apart: bool = False,
    ) -> list[str]:
        """A command as it runs on a host; empty disks of such sizes lie over folders.

        One that is ``apart`` sees no processes but its own, and they end with it.
        """
        mounts = "".join(
            f"mkdir -p {folder} && mount -t tmpfs -o size={size} none {folder} && "
            for folder, size in (disks or {}).items()
        )
        alone = ["--pid", "--fork", "--mount-proc", "--kill-child"] if apart else []
        return [
            *("ip", "netns", "exec", host, "unshare", "--mount", *alone),
            *("sh", "-c", f'{mounts}exec "$@"', "sh", *words),
        ]

    def end(self) -> None:
        """Kill all that runs on them."""
        for host in NAMES:
            listed = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True)
            for pid in listed.stdout.split():
                subprocess.run(["kill", "-9", pid], capture_output=True)

    @contextmanager
    def cluster(self, disks: Mapping[Path, str]) -> Iterator["subprocess.Popen[bytes]"]:
        """A raylet of one CPU on each; yields the second's process, which has the ``disks``."""
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
        """A command in the background."""
        return subprocess.Popen(words, stdout=_QUIET, stderr=_QUIET, env=self.env)

    def finesweep(self, *words: object, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """A command of ours on the first host."""
        command = [sys.executable, "-m", "search", *map(str, words)]
        return subprocess.run(
            self.within(NAMES[0], *command),
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.env,
        )

    def _wait_for(self, machines: int) -> None:
        """Until so many are there."""
        done = subprocess.run(
            self.within(NAMES[0], sys.executable, "-c", _COUNT, f"{HEAD}:{PORT}", str(machines)),
            capture_output=True,
            text=True,
            env=self.env,
        )
        assert done.returncode == 0, f"{machines} machines did not come up: {done.stderr}"


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two network namespaces, joined by a cable."""
    try:
        _do("ip", "netns", "add", NAMES[0])
    except subprocess.CalledProcessError as refused:
        pytest.skip(f"no network namespaces here: {refused.stderr.decode().strip()}")
    _do("ip", "netns", "add", NAMES[1])
    cable = ("type", "veth", "peer", "fsv2", "netns", NAMES[1])
    _do("ip", "link", "add", "fsv1", "netns", NAMES[0], *cable)
    for host, device, address in zip(NAMES, ("fsv1", "fsv2"), (HEAD, OTHER), strict=True):
        _do("ip", "-n", host, "addr", "add", f"{address}/24", "dev", device)
        _do("ip", "-n", host, "link", "set", device, "up")
        _do("ip", "-n", host, "link", "set", "lo", "up")
    folder = Path(tempfile.mkdtemp(prefix="fs"))
    made = Hosts(folder)
    yield made
    made.end()
    for host in NAMES:
        _do("ip", "netns", "del", host)
    shutil.rmtree(folder, ignore_errors=True)


_TOKEN = secrets.token_hex(32)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
