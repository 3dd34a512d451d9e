from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spaces import DataError
from tests.support.parquet import write_shard
from trainables.images.image_file import read_image_file, stamp_of
from trainables.images.parquet_groups import RowGroup
from trainables.images.parquet_images import ParquetImages

IMAGES = [bytes([k]) * (k + 1) for k in range(60)]


def read(images: ParquetImages, *names: str) -> list[bytes]:
    return list(images.contents(names))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.jpg", "b/c.jpg", "7"], ["a.jpg", "b/c.jpg", "7"]),
        (["a.jpg", "a.jpg", "b.jpg"], ["0", "1", "2"]),
        (["a.jpg", None, "b.jpg"], ["0", "1", "2"]),
        (["a.jpg", "", "b.jpg"], ["0", "1", "2"]),
        (["a.jpg", "../b.jpg", "c.jpg"], ["0", "1", "2"]),
        (["/a.jpg", "/b.jpg", "/c.jpg"], ["0", "1", "2"]),
        (["a//b.jpg", "a/c.jpg", "d.jpg"], ["0", "1", "2"]),
    ],
)
def test_a_name_is_the_path_in_the_table_or_else_the_row(
    tmp_path: Path, paths: Sequence[str | None], names: list[str]
) -> None:
    images = ParquetImages(write_shard(tmp_path / "x.parquet", IMAGES[:3], paths=paths))
    assert list(images.names) == names
    assert read(images, names[1]) == [IMAGES[1]]


def test_a_column_of_bytes_holds_images_and_one_of_text_does_not(tmp_path: Path) -> None:
    table = pa.table({" photo ": [b"x", b"y"], "label": ["a", "b"]})
    pq.write_table(table, tmp_path / "x.parquet")
    images = ParquetImages(tmp_path / "x.parquet")
    assert images.columns == ["photo"] and list(images.names) == ["0", "1"]
    assert read(images, "1", "0") == [b"y", b"x"]


def test_several_columns_are_told_apart_by_the_names_of_images(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES[:2], columns=("image", "mask"))
    assert list(ParquetImages(file).names) == ["image/0", "image/1", "mask/0", "mask/1"]
    assert read_image_file(file / "mask/1") == IMAGES[1]


def test_a_row_without_bytes_stands_for_the_file_that_it_names(tmp_path: Path) -> None:
    contents, paths = [b"x", None, None, b"y"], ["a.jpg", "beside.jpg", None, None]
    images = ParquetImages(write_shard(tmp_path / "x.parquet", contents, paths=paths))
    assert images.missing_in("image") == {1: "beside.jpg", 2: ""}
    inside = [tmp_path / "x.parquet" / str(row) for row in range(4)]
    assert images.files_in("image") == [inside[0], tmp_path / "beside.jpg", *inside[2:]]
    assert read_image_file(inside[3]) == b"y"
    for path in inside[1:3]:
        with pytest.raises(ValueError, match="the row holds no image"):
            read_image_file(path)


def test_a_column_of_missing_values_is_known_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"/set/{k}.jpg" for k in range(30)]
    images = ParquetImages(write_shard(tmp_path / "x.parquet", [None] * 30, paths=paths))
    monkeypatch.setattr(RowGroup, "contents", None)
    assert images.files_in("image") == [Path(path) for path in paths]


def test_a_file_that_was_written_again_is_read_anew(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES[:3])
    before = stamp_of(file / "1")
    assert read_image_file(file / "1") == IMAGES[1]
    write_shard(file, IMAGES[50:60])
    assert read_image_file(file / "1") == IMAGES[51]
    assert stamp_of(file / "1") != before
    assert stamp_of(file / "10") == ()
    with pytest.raises(FileNotFoundError):
        read_image_file(file / "10")


def test_a_file_that_is_no_parquet_is_told_with_the_way_out(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"x\.parquet can't be read as Parquet: .*; download it"):
        ParquetImages(file)
    assert stamp_of(file / "0") == ()
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match=r"is a Git LFS pointer, not the table; run git lfs pull"):
        ParquetImages(file)
