"""Files to be classified: in the given order, with what is skipped in folders."""

from pathlib import Path

import pandas as pd
import pytest

from spaces import DataError
from tests.support.archives import write_tar
from tests.support.images import save_image
from tests.support.parquet import write_shard
from trainables.folders import find_given_files
from trainables.listing import Unused


def test_files_keep_their_order_and_folders_are_walked(tmp_path: Path) -> None:
    inside = [save_image(tmp_path / "in" / name) for name in ("2.png", "10.png", "deep/1.png")]
    single, missing = save_image(tmp_path / "z.png"), tmp_path / "missing.png"
    given = find_given_files([single, tmp_path / "in", missing])
    assert given.files == (single, *inside, missing)
    assert given.skipped == ()


def test_what_a_file_is_goes_by_its_content(tmp_path: Path) -> None:
    bare = save_image(tmp_path / "in" / "a.png").rename(tmp_path / "in" / "a")
    for name in ("notes.txt", "more.txt", ".hidden"):
        (tmp_path / "in" / name).write_text("no image")
    given = find_given_files([tmp_path / "in"])
    assert given.files == (bare,)
    assert given.skipped == (
        Unused("files that are not images", 2, str(tmp_path / "in" / "more.txt")),
        Unused("hidden files", 1, str(tmp_path / "in" / ".hidden")),
    )


def test_an_archive_is_replaced_by_its_images(tmp_path: Path) -> None:
    archive = write_tar(
        tmp_path / "x.tar", {"b/2.jpg": b"", "1.png": b"", "1.cls": "0", "b/._2.jpg": b""}
    )
    given = find_given_files([archive])
    assert given.files == (archive / "b/2.jpg", archive / "1.png")
    assert given.skipped == (
        Unused("files that are not images", 1, str(archive / "1.cls")),
        Unused("hidden files", 1, str(archive / "b/._2.jpg")),
    )
    archive.write_bytes(archive.read_bytes()[:600])
    with pytest.raises(DataError, match=r"x\.tar is cut off"):
        find_given_files([archive])


def test_a_parquet_file_is_replaced_by_its_images(tmp_path: Path) -> None:
    beside = save_image(tmp_path / "b.png")
    file = write_shard(tmp_path / "x.parquet", [b"", None], paths=["a.png", "b.png"])
    assert find_given_files([file, file / "a.png"]).files == (
        file / "a.png",
        beside,
        file / "a.png",
    )
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match=r"x\.parquet can't be read as Parquet: .*; download it"):
        find_given_files([file])


def test_a_column_of_images_is_chosen_by_its_path(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "x.parquet", [b"", b""], columns=("photo", "mask"))
    with pytest.raises(DataError, match=r"several columns of images; give one of them: .*/mask\."):
        find_given_files([file])
    assert find_given_files([file / "mask"]).files == (file / "mask/0", file / "mask/1")
    pd.DataFrame({"path": ["a.png"]}).to_parquet(tmp_path / "paths.parquet")
    with pytest.raises(DataError, match="has no images inside: its columns path hold no bytes"):
        find_given_files([tmp_path / "paths.parquet"])
