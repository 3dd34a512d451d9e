import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.record import SweepPaths, hold_driver_lock
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
