import os
from pathlib import Path

import pytest
import ray

from search.cluster import Home
from tests.support.other_machine import elsewhere


def bring(home: Home, source: Path, target: Path) -> int:
    """On another machine, in small chunks; the file's inode."""
    assert not home.is_here
    home.bring(source, target, chunk_bytes=1000)
    return target.stat().st_ino


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 12_345])
def test_a_file_comes_whole_to_another_machine_in_chunks(
    ray_cluster: None, tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(os.urandom(size))
    ray.get(elsewhere(bring).remote(Home.here(), source, target))
    assert target.read_bytes() == source.read_bytes()
    assert [p.name for p in target.parent.iterdir() if p.suffix != ".lock"] == ["target"]


def test_of_several_processes_one_fetches_it(ray_cluster: None, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "there" / "target"
    source.write_bytes(os.urandom(50_000))
    asked = [elsewhere(bring).remote(Home.here(), source, target) for _ in range(3)]
    assert len(set(ray.get(asked))) == 1


def test_what_is_not_at_home_cannot_be_brought(ray_cluster: None, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not on the machine the sweep is run from"):
        ray.get(elsewhere(bring).remote(Home.here(), tmp_path / "nothing", tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_home_is_here_without_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert Home.here().is_here
    assert Home.here().read(tmp_path / "nothing") is None
