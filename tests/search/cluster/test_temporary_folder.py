import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.cluster.temporary_folder import temporary_folder
from spaces import ConfigError

OWN = Path("/tmp") / f"ray-{os.getuid()}"


def test_rays_own_folder_is_taken_where_it_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert temporary_folder() == Path("/tmp/ray")


def test_a_path_that_is_too_long_for_a_socket_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 40)))
    assert temporary_folder() == OWN


def test_a_folder_that_cannot_be_made_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc")
    assert temporary_folder() == OWN


def test_every_fault_is_told_if_no_folder_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc")
    monkeypatch.setattr("search.cluster.temporary_folder._LEAST_FREE_BYTES", 2**80)
    with pytest.raises(ConfigError) as told:
        temporary_folder()
    assert "/proc/ray can't be written (No such file or directory)" in str(told.value)
    assert f"{OWN} lies on a disk with" in str(told.value)
    assert "set RAY_TMPDIR to a folder with a short path" in str(told.value)


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a full disk needs root and unshare"
)
def test_full_disks_are_told_before_ray_starts() -> None:
    script = (
        "mount -t tmpfs -o size=1m none /tmp && mount -t tmpfs -o size=1m none /var/tmp && "
        f"exec {sys.executable} -c 'from search.cluster.temporary_folder import *; "
        "temporary_folder()'"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert "/tmp/ray lies on a disk with 1 MiB left" in done.stderr
