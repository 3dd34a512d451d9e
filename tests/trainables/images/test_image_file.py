import os
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.archives import write_tar
from tests.support.parquet import write_shard
from trainables.images.image_file import (
    images_within,
    open_container,
    read_image_file,
    read_members,
    stamp_of,
)


def test_a_path_leads_into_an_archive_or_to_a_file(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"cat/1.jpg": b"one", "2.jpg": b"two", "0": b""})
    (tmp_path / "plain.jpg").write_bytes(b"file")
    assert read_image_file(archive / "cat/1.jpg") == b"one"
    assert read_image_file(archive / "2.jpg") == b"two"
    assert read_image_file(archive / "0") == b""
    assert read_image_file(tmp_path / "plain.jpg") == b"file"
    assert list(read_members(archive, ["2.jpg", "cat/1.jpg"])) == [b"two", b"one"]


def test_a_folder_named_like_an_archive_stays_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a.tar"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(b"file")
    inner = write_tar(folder / "b.tar", {"2.jpg": b"two"})
    assert read_image_file(folder / "1.jpg") == b"file"
    assert read_image_file(inner / "2.jpg") == b"two"
    assert stamp_of(folder / "1.jpg")[0] == 4
    assert stamp_of(inner / "2.jpg")[0] == 3


def test_what_is_missing_is_told_as_of_files(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"1.jpg": b"one"})
    for path in (archive / "2.jpg", tmp_path / "y.tar/1.jpg", tmp_path / "1.jpg"):
        with pytest.raises(FileNotFoundError):
            read_image_file(path)
        assert stamp_of(path) == ()


@pytest.mark.parametrize("suffix", ["tar", "parquet", "PARQUET"])
def test_a_path_leads_into_any_container(tmp_path: Path, suffix: str) -> None:
    contents = {"cat/1.jpg": b"one", "cat/2.jpg": b"two", "3.jpg": b"three"}
    file = tmp_path / f"x.{suffix}"
    if suffix == "tar":
        write_tar(file, contents)
    else:
        write_shard(file, list(contents.values()), paths=list(contents))
    assert read_image_file(file / "cat/2.jpg") == b"two"
    assert [f and f[1:] for f in map(images_within, (file, file / "cat"))] == [
        (file, list(contents)),
        (file, ["cat/1.jpg", "cat/2.jpg"]),
    ]
    for path in (file / "3.jpg", file / "dog", tmp_path, tmp_path / "3.jpg"):
        assert images_within(path) is None


def test_a_changed_archive_is_read_anew(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"1.jpg": b"one"})
    before = stamp_of(archive / "1.jpg")
    assert read_image_file(archive / "1.jpg") == b"one"
    write_tar(archive, {"0.jpg": b"zero" * 1000, "1.jpg": b"new"})
    os.utime(archive, (1, 1))
    assert read_image_file(archive / "1.jpg") == b"new"
    assert stamp_of(archive / "1.jpg") != before


def test_an_archive_that_is_cut_off_is_refused_or_its_image_unreadable(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"1.jpg": b"one" * 1000})
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DataError, match="is cut off"):
        read_image_file(archive / "1.jpg")
    assert stamp_of(archive / "1.jpg") == ()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"1.jpg": b"one", "./1.jpg": b"two"})
    with pytest.raises(DataError, match=r"holds two files called '1\.jpg'; make it again"):
        open_container(archive)
    with pytest.raises(DataError, match=r"y\.tar can't be read \(No such file"):
        open_container(tmp_path / "y.tar")
