import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from search import SweepResult
from search.cli import dashboards
from search.cli.dashboards import HOST, serve_dashboard
from search.record import SweepPaths
from spaces import ConfigError

SERVE = """
import sys
from pathlib import Path
from search.cli.dashboards import serve_tensorboard
from search.record import SweepPaths
serve_tensorboard([SweepPaths(Path(root)) for root in sys.argv[1:]])
"""


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
def test_tensorboard_serves_the_curves_of_every_sweep_under_any_path(
    tmp_path: Path, roots: list[str], runs: list[str]
) -> None:
    for root in roots:
        with SummaryWriter(str(SweepPaths(tmp_path / root).tensorboard / "0000-vit")) as writer:
            writer.add_scalar("accuracy", 0.5, 1)
    command = [sys.executable, "-c", SERVE, *(str(tmp_path / root) for root in roots)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        try:
            assert server.stdout is not None
            lines = iter(server.stdout.readline, b"")
            address = next(found[0] for line in lines if (found := ADDRESS.search(line.decode())))
            assert HOST in address, "this machine only"
            served: list[str] = []
            while served != runs:  # TensorBoard reads the files a moment later
                served = sorted(json.load(urllib.request.urlopen(f"{address}data/runs")))
                time.sleep(0.2)
        finally:
            server.kill()


ADDRESS = re.compile(r"http://[0-9.]+:[0-9]+/")


def test_the_dashboard_takes_a_port_that_is_free() -> None:
    with socket.create_server((HOST, 0)) as busy:
        taken = busy.getsockname()[1]
        assert dashboards._free_port(taken) != taken


@pytest.mark.slow
def test_the_dashboard_shows_a_study_and_can_not_change_it(
    sweep: SweepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sweep.paths.journal.read_bytes()
    port = dashboards._free_port()
    monkeypatch.setattr(dashboards, "_free_port", lambda: port)
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
