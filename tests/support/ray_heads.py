"""Real heads of Ray clusters, in processes of their own."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

_HEAD = """
import sys
import ray

ray.__version__ = sys.argv[1]
from ray.scripts.scripts import main

sys.argv = ["ray", "start", "--head", *sys.argv[2:]]
main()
"""


@contextmanager
def started_head(version: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The address of a cluster that calls itself of a version of Ray, and its first process."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder:  # short, for sockets
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        start = ["--num-cpus=1", f"--port={port}", f"--temp-dir={folder}", "--block"]
        head = subprocess.Popen(
            [sys.executable, "-c", _HEAD, version, *start, "--include-dashboard=false"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield f"127.0.0.1:{port}", head
        finally:
            for process in [*psutil.Process(head.pid).children(recursive=True), head]:
                process.kill()
            head.wait()
