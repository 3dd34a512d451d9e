from pathlib import Path

import numpy as np
import pytest
import ray

from search.trial import Checkpoints, CheckpointWriter
from search.trial.checkpoints import pack, unpack
from tests.support.other_machine import elsewhere


def test_the_newest_state_of_each_trial_is_written_in_the_end(tmp_path: Path) -> None:
    checkpoints = Checkpoints.here(tmp_path / "c", [])
    with CheckpointWriter(checkpoints) as writer:
        for epoch in range(20):
            for number in range(3):
                writer.keep(number, pack({"epoch": epoch, "number": number}))
        writer.forget(1)
    assert checkpoints.read(0) == {"epoch": 19, "number": 0}
    assert checkpoints.read(1) is None
    assert checkpoints.read(2) == {"epoch": 19, "number": 2}


def test_leftover_checkpoints_of_a_killed_driver_are_removed(tmp_path: Path) -> None:
    for name in ("0001.pt", "0001.pt.123.partial", "0002.pt"):
        (tmp_path / name).write_bytes(b"state")
    Checkpoints.here(tmp_path, running=[1])
    assert [file.name for file in tmp_path.iterdir()] == ["0001.pt"]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state is one too many."""

    def full(file: Path, write: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("search.trial.checkpoints.write_atomically", full)


def test_a_failed_checkpoint_write_is_reported(tmp_path: Path, full_disk: None) -> None:
    with CheckpointWriter(Checkpoints.here(tmp_path, [])) as writer:
        writer.keep(0, pack({}))
        with pytest.raises(OSError, match="No space left"):
            while True:
                writer.forget(1)


def test_a_checkpoint_is_read_without_executing_code_in_it() -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> object:
            return (Path.touch, (Path("ran"),))

    assert unpack(pickle.dumps(Evil(), protocol=2)) is None
    assert not Path("ran").exists()
    assert pack({"a": 1}).dtype == np.uint8


def test_a_failed_write_of_the_last_checkpoint_is_reported_too(
    tmp_path: Path, full_disk: None
) -> None:
    with (
        pytest.raises(OSError, match="No space left"),
        CheckpointWriter(Checkpoints.here(tmp_path, [])) as writer,
    ):
        writer.keep(0, pack({}))


def test_a_checkpoint_is_read_from_another_machine_without_a_shared_disk(
    ray_cluster: None, tmp_path: Path
) -> None:
    checkpoints = Checkpoints.here(tmp_path, [])
    with CheckpointWriter(checkpoints) as writer:
        writer.keep(7, pack({"epoch": 3}))
    assert ray.get(elsewhere(Checkpoints.read).remote(checkpoints, 7)) == {"epoch": 3}
    assert ray.get(elsewhere(Checkpoints.read).remote(checkpoints, 8)) is None
