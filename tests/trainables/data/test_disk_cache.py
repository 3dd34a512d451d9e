import os
from pathlib import Path

import pytest

from trainables.data import PIXEL_FILES, make_room, preallocate
from trainables.data.disk_cache import RESERVED_DISK_BYTES, free_bytes


@pytest.fixture
def stores(tmp_path: Path) -> list[Path]:
    """Three pixel stores of 1000 bytes, the first one used longest ago."""
    (tmp_path / "pixels").mkdir()
    files = [tmp_path / "pixels" / f"{name}.npy" for name in "cab"]
    for age, file in enumerate(files):
        file.write_bytes(bytes(1000))
        os.utime(file, (age, age))
    return files


def test_the_least_recently_used_files_are_evicted_first(
    stores: list[Path], tmp_path: Path
) -> None:
    assert make_room(tmp_path, 1500, 3000, *PIXEL_FILES)
    assert [file.exists() for file in stores] == [False, False, True]


def test_nothing_is_evicted_if_there_is_room_or_if_it_would_not_be_enough(
    stores: list[Path], tmp_path: Path
) -> None:
    assert make_room(tmp_path, 1000, 4000, *PIXEL_FILES)
    assert not make_room(tmp_path, 4001, 4000, *PIXEL_FILES)
    assert not make_room(tmp_path, 1001, 4000)
    assert all(file.exists() for file in stores)


def test_files_to_keep_and_files_being_written_stay(stores: list[Path], tmp_path: Path) -> None:
    partial = stores[0].with_name("d.npy.7.partial")
    partial.write_bytes(bytes(1000))
    assert not make_room(tmp_path, 2500, 3000, *PIXEL_FILES, keep=stores[:1])
    assert make_room(tmp_path, 2000, 3000, *PIXEL_FILES, keep=stores[:1])
    assert [file.exists() for file in stores] == [True, False, False]
    assert partial.exists()


def test_a_full_disk_evicts_files_like_an_exhausted_budget(
    stores: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.disk_cache.free_bytes", lambda cache: 500)
    assert make_room(tmp_path, 1000, 10**9, *PIXEL_FILES)
    assert [file.exists() for file in stores] == [False, True, True]


def test_disk_space_is_reserved_for_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": RESERVED_DISK_BYTES + 7})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    assert free_bytes(tmp_path / "new") == 7
    assert (tmp_path / "new").is_dir()


def test_preallocated_files_have_their_size_and_are_zero(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        preallocate(file.fileno(), 5000)
    assert (tmp_path / "file").read_bytes() == bytes(5000)
