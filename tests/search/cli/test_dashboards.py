import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from search import SweepResult
from search.cli import dashboards
from search.cli.dashboards import DASHBOARD_PORT, HOST, serve_dashboard
from search.record import SweepPaths
from spaces import ConfigError

SERVE = """
import sys
from pathlib import Path
from search.cli import dashboards
from search.record import SweepPaths
dashboards.TENSORBOARD_PORT = int(sys.argv[1])
dashboards.serve_tensorboard([SweepPaths(Path(root)) for root in sys.argv[2:]])
"""


CAN_MOUNT = os.geteuid() == 0 and shutil.which("unshare") is not None
READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
"""Shell script that runs its arguments while the folder ``$0`` is read-only."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("roots", "runs"),
    [
        (["a,b:c=d e\u00e9/mine"], ["0000-vit"]),
        (
            ["a,b:c/one", "a,b:c/two, three", "d/one"],
            ["one (2)/0000-vit", "one/0000-vit", "two, three/0000-vit"],
        ),
    ],
)
def test_tensorboard_serves_every_sweep_under_any_path_that_is_read_only_beside_a_taken_port(
    tmp_path: Path, roots: list[str], runs: list[str]
) -> None:
    for root in roots:
        with SummaryWriter(str(SweepPaths(tmp_path / root).tensorboard / "0000-vit")) as writer:
            writer.add_scalar("accuracy", 0.5, 1)
    with taken_port(answers=False) as taken:
        command = [sys.executable, "-c", SERVE, str(taken)]
        command += [str(tmp_path / root) for root in roots]
        if CAN_MOUNT:
            command = ["unshare", "--mount", "sh", "-c", READ_ONLY, str(tmp_path), *command]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
            try:
                assert server.stdout is not None
                lines = iter(server.stdout.readline, b"")
                address = next(found for line in lines if (found := ADDRESS.search(line.decode())))
                assert address["host"] == HOST, "this machine only"
                assert int(address["port"]) > taken
                served: list[str] = []
                while served != runs:  # TensorBoard reads the files a moment later
                    served = sorted(json.load(urllib.request.urlopen(f"{address[0]}data/runs")))
                    time.sleep(0.2)
            finally:
                server.kill()


ADDRESS = re.compile(r"http://(?P<host>[0-9.]+):(?P<port>[0-9]+)/")


@pytest.mark.parametrize("answers", [True, False])
def test_a_board_takes_the_next_free_port_if_its_own_is_taken(answers: bool) -> None:
    with taken_port(answers=answers) as taken:
        assert taken < dashboards._free_port(taken) <= taken + 100


@contextmanager
def taken_port(*, answers: bool) -> Iterator[int]:
    """A port that another socket has, which may or may not answer."""
    with socket.socket() as busy:
        busy.bind((HOST, 0))
        if answers:
            busy.listen()
        yield busy.getsockname()[1]


@pytest.mark.slow
def test_the_dashboard_shows_a_study_and_can_not_change_it(
    sweep: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sweep.paths.journal.read_bytes()
    port = dashboards._free_port(DASHBOARD_PORT)
    monkeypatch.setattr(dashboards, "_free_port", lambda preferred: port)
    threading.Thread(target=serve_dashboard, args=([sweep.paths],), daemon=True).start()
    address = f"http://{HOST}:{port}/api/studies"
    for _ in range(50):
        try:
            studies = json.load(urllib.request.urlopen(address))["study_summaries"]
            break
        except OSError:
            time.sleep(0.2)
    assert studies[0]["study_name"] == "finesweep"
    request = urllib.request.Request(f"{address}/{studies[0]['study_id']}", method="DELETE")
    with pytest.raises(OSError, match="500"):
        urllib.request.urlopen(request)
    assert sweep.paths.journal.read_bytes() == before
    with pytest.raises(ConfigError, match="one sweep, not 2"):
        serve_dashboard([sweep.paths, sweep.paths])
