import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from search.record import (
    SweepPaths,
    hold_driver_lock,
    hold_final_model_lock,
    is_driver_running,
)
from spaces import ConfigError

HOLD_AND_DIE = """
import os, sys
from pathlib import Path
from search.record import SweepPaths, hold_driver_lock
with hold_driver_lock(SweepPaths(Path(sys.argv[1]))):
    os._exit(1)
"""


def test_the_file_of_the_driver_exists_while_the_lock_is_held(tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path)
    with hold_driver_lock(paths):
        assert json.loads(paths.driver.read_text())["pid"] == os.getpid()
    assert not paths.driver.exists()


def test_a_second_driver_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path / "photos")
    paths.root.mkdir()
    refusal = rf"'photos' is being run by process {os.getpid()} on \S+; wait for this process"
    with (
        hold_driver_lock(paths),
        pytest.raises(ConfigError, match=refusal),
        hold_driver_lock(paths),
    ):
        pass
    with hold_driver_lock(paths):
        assert paths.driver.exists(), "it is free again"


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path)
    command = [sys.executable, "-c", HOLD_AND_DIE, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode == 1
    assert paths.driver.exists(), "nobody was left to delete it"
    with hold_driver_lock(paths):
        assert json.loads(paths.driver.read_text())["pid"] == os.getpid()


def test_a_killed_driver_runs_no_more(tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path)
    assert not is_driver_running(paths)
    subprocess.run([sys.executable, "-c", HOLD_AND_DIE, str(tmp_path)], check=False)
    assert paths.driver.exists()
    assert not is_driver_running(paths)
    with hold_driver_lock(paths):
        assert is_driver_running(paths)


def test_final_models_are_made_one_after_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths, made = SweepPaths(tmp_path), []

    def make_second() -> None:
        with hold_final_model_lock(paths):
            made.append("second")

    second = threading.Thread(target=make_second)
    with caplog.at_level("INFO", logger="finesweep"), hold_final_model_lock(paths):
        second.start()
        until = time.monotonic() + 20
        while "waiting for another process" not in caplog.text and time.monotonic() < until:
            time.sleep(0.01)
        made.append("first")
    second.join()
    assert made == ["first", "second"]
    assert "waiting for another process" in caplog.text
