import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.cluster_utils import Cluster
from ray.job_submission import JobSubmissionClient

from search.cluster.jobs import entrypoint_script
from search.record import SweepPaths, read_trials
from tests.support.command_line import finesweep, flags


def test_the_script_of_a_job_contains_the_settings_file(tmp_path: Path) -> None:
    """It is run by a shell, with a stand-in for Python that prints its arguments."""
    bin_folder, home = tmp_path / "bin", tmp_path / "home"
    bin_folder.mkdir()
    home.mkdir()
    python = bin_folder / "python"
    python.write_text('#!/bin/sh\npwd; for word; do echo "[$word]"; done; cat "$6"\n')
    python.chmod(0o755)
    file = tmp_path / "my settings.toml"
    file.write_text('space = "demo"  # it\'s $HOME\n')
    line = entrypoint_script(["launch", "/data/my photos"], file)
    env = {"HOME": str(home), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    done = subprocess.run(line, shell=True, capture_output=True, text=True, env=env, cwd="/")
    printed = done.stdout.splitlines()
    assert printed[0] == str(home)
    assert printed[1:5] == ["[-m]", "[finesweep]", "[launch]", "[/data/my photos]"]
    assert printed[5] == "[--config]"
    assert printed[7] == file.read_text().rstrip()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--address", "http://h:8265"],
            "submit needs one of launch, resume, preflight, and got no command",
        ),
        (["--address", "http://h:8265", "predict", "x", "y"], "and got predict"),
        (
            ["--address", "h:8265", "resume", "x"],
            "begins with http:// or https://, unlike 'h:8265'",
        ),
        (["--address", "http://h:8265", "launch", "d", "--trails", "3"], "did you mean '--trials'"),
        (["--address", "http://h:8265", "launch", "d", "--trials", "0"], "trials should be"),
        (["launch", "d"], "The following arguments are required: --address"),
    ],
)
def test_a_mistake_is_an_error_before_anything_is_sent(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finesweep("submit", *words) == 2
    assert sentence in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    assert finesweep("submit", "--address", address, "resume", "x") == 2
    assert "No Ray job server answers at http://127.0.0.1" in capsys.readouterr().err


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A cluster with a job server, and its user's home."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(home))
        patched.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        patched.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        args = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": True}
        args |= {"dashboard_agent_listen_port": free_port()}  # the usual one may be another's
        cluster = Cluster(initialize_head=True, head_node_args=args)
    address = f"http://{cluster.head_node.webui_url}"
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            JobSubmissionClient(address).list_jobs()
            break
        except (ConnectionError, RuntimeError):
            time.sleep(0.5)
    yield address, home
    cluster.shutdown()


@pytest.mark.slow
def test_a_sweep_is_submitted_followed_stopped_and_resumed(
    settings: dict[str, Any],
    server: tuple[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address, home = server
    shutil.copytree(settings["data"], home / "digits")
    toml = tmp_path / "small.toml"
    toml.write_text('weights = "untrained"\nstopping = "none"\nretrain = false\n')
    given = {k: settings[k] for k in ("space", "cache_dir", "gpus_per_trial")}
    launch = ["launch", "digits", "--config", toml, *flags({**given, "name": "far"})]
    submit = ["submit", "--address", address]

    assert finesweep(*submit, "--no-wait", *launch, "--trials", 20, "--max-epochs", 20) == 0
    printed = capsys.readouterr().out
    job = printed.split()[1].rstrip(".")
    assert f"Stop it:    ray job stop --address {address} {job}" in printed
    paths = SweepPaths(home / "results" / "far")
    client = JobSubmissionClient(address)
    until = time.monotonic() + 200
    while not any(trial.reports for trial in read_trials(paths.journal)):
        assert time.monotonic() < until, client.get_job_logs(job)
        time.sleep(0.2)
    client.stop_job(job)
    while not client.get_job_status(job).is_terminal():
        assert time.monotonic() < until
        time.sleep(0.2)
    begun = len(read_trials(paths.journal))

    assert finesweep(*submit, "resume", "far", "--trials", begun) == 0
    printed = capsys.readouterr().out
    assert f"resumed: {begun} of {begun} trials had begun" in printed
    assert "trial 0000 epoch 20: val_accuracy" in printed
    assert [t.status for t in read_trials(paths.journal)] == ["completed"] * begun

    assert finesweep(*submit, *launch) == 1
    printed = capsys.readouterr()
    assert "The sweep 'far' exists in" in printed.out, "what the head says"
    assert "is FAILED" in printed.err
