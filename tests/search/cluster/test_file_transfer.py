import os
from pathlib import Path

import pytest
import ray

from search.cluster import DriverMachine
from tests.support.other_machine import elsewhere


def fetch(driver: DriverMachine, source: Path, target: Path) -> int:
    """Fetch a file in small chunks, on another machine; its inode there."""
    assert not driver.is_this_machine
    driver.fetch(source, target, chunk_bytes=1000)
    return target.stat().st_ino


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 12_345])
def test_another_machine_fetches_a_file_in_chunks(
    ray_cluster: None, tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(os.urandom(size))
    ray.get(elsewhere(fetch).remote(DriverMachine.current(), source, target))
    assert target.read_bytes() == source.read_bytes()
    assert [p.name for p in target.parent.iterdir() if p.suffix != ".lock"] == ["target"]


def test_what_a_killed_process_had_fetched_is_removed(ray_cluster: None, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(b"all of it")
    target.parent.mkdir()
    target.with_name("target.123-abcd.partial").write_bytes(b"half")
    ray.get(elsewhere(fetch).remote(DriverMachine.current(), source, target))
    assert [p.name for p in target.parent.iterdir() if p.suffix != ".lock"] == ["target"]


def test_several_processes_that_want_a_file_fetch_it_once(
    ray_cluster: None, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(os.urandom(50_000))
    inodes = [elsewhere(fetch).remote(DriverMachine.current(), source, target) for _ in range(3)]
    assert len(set(ray.get(inodes))) == 1


def test_a_file_that_the_driver_lacks_cannot_be_fetched(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not on the machine that the sweep is run from"):
        ray.get(
            elsewhere(fetch).remote(
                DriverMachine.current(), tmp_path / "nothing", tmp_path / "target"
            )
        )
    assert not (tmp_path / "target").exists()


def test_without_ray_a_process_counts_as_on_the_drivers_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert DriverMachine.current().is_this_machine
    assert DriverMachine.current().read_bytes(tmp_path / "nothing") is None
