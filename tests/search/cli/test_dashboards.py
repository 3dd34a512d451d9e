import json
import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from tensorboard import program

from search import SweepResult
from search.cli import dashboards
from search.cli.dashboards import HOST, serve_dashboard, serve_tensorboard
from search.record import SweepPaths
from spaces import ConfigError


@pytest.mark.filterwarnings("ignore:html5lib:DeprecationWarning")  # of a plugin of TensorBoard
@pytest.mark.parametrize("count", [1, 2])
def test_tensorboard_serves_the_curves_of_every_sweep_to_this_machine(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[program.TensorBoard] = []
    monkeypatch.setattr(program.TensorBoard, "main", lambda board: served.append(board))
    sweeps = [SweepPaths(tmp_path / name) for name in ("one", "two")[:count]]
    serve_tensorboard(sweeps)
    (board,) = served
    assert board.flags.host == HOST
    one = f"{tmp_path / 'one' / 'tensorboard'}"
    if count == 1:
        assert (board.flags.logdir, board.flags.logdir_spec) == (one, "")
    else:
        two = f"{tmp_path / 'two' / 'tensorboard'}"
        assert board.flags.logdir_spec == f"one:{one},two:{two}"


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
