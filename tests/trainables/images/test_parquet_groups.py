import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.parquet import write_shard
from trainables.images import parquet_groups
from trainables.images.image_file import read_image_file
from trainables.images.parquet_groups import RowGroup
from trainables.images.parquet_images import ParquetImages

IMAGES = [random.Random(k).randbytes(50 + k) for k in range(150)]
"""Contents that don't compress."""
AS_DATASETS = {"compression": "none", "use_dictionary": False, "row_group_size": 1000}
"""Options that release 5 of the datasets library writes columns of images with."""


def read(images: ParquetImages, *names: str) -> list[bytes]:
    return list(images.contents(names))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 7},
        {"row_group_size": 1000, "compression": "zstd"},
        {"compression": "none"},
        {**AS_DATASETS, "data_page_size": 256, "use_content_defined_chunking": True},
        {"data_page_version": "2.0", "write_statistics": False},
        {"use_dictionary": False, "column_encoding": {"image.bytes": "DELTA_LENGTH_BYTE_ARRAY"}},
    ],
)
def test_every_row_is_read_however_the_file_is_written(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    images = ParquetImages(write_shard(tmp_path / "x.parquet", IMAGES, **options))
    assert read(images, *images.names) == IMAGES
    order = random.Random(0).sample(range(150), 150)
    assert read(images, *map(str, order)) == [IMAGES[row] for row in order]
    assert images.missing_in("image") == {}


def test_a_row_group_that_is_read_in_order_is_decompressed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES, row_group_size=50)
    read: list[RowGroup] = []
    contents = RowGroup.contents

    def counted(group: RowGroup) -> Iterator[bytes | None]:
        read.append(group)
        return contents(group)

    monkeypatch.setattr(RowGroup, "contents", counted)
    assert [read_image_file(file / str(row)) for row in range(150)] == IMAGES
    assert len(set(read)) == len(read) == 3


def test_images_that_are_not_compressed_are_read_by_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES, **AS_DATASETS)
    assert read_image_file(file / "70") == IMAGES[70]
    monkeypatch.setattr(RowGroup, "contents", None)
    order = random.Random(0).sample(range(150), 150)
    assert [read_image_file(file / str(row)) for row in order] == [IMAGES[row] for row in order]


@pytest.mark.parametrize("options", [{"compression": "none"}, AS_DATASETS])
def test_equal_empty_and_missing_images_are_read_as_they_are(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    contents = [b"x", b"", b"x", b"y", b"", b"x"] * 20
    images = ParquetImages(write_shard(tmp_path / "x.parquet", contents, **options))
    assert read(images, *images.names) == contents
    lacking = ParquetImages(write_shard(tmp_path / "y.parquet", [*contents, None], **options))
    assert lacking.missing_in("image") == {120: ""}
    assert read(lacking, "119", "0") == [b"x", b"x"]


def test_threads_read_the_same_row_groups(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "x.parquet", IMAGES, row_group_size=50)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_image_file, [file / str(row) for row in range(150)] * 3))
    assert found == IMAGES * 3


def test_what_lies_before_damage_is_read_and_the_rest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_shard(
        tmp_path / "x.parquet", IMAGES, row_group_size=1000, use_dictionary=False, data_page_size=64
    )
    content = bytearray(file.read_bytes())
    place = content.index(IMAGES[100])
    content[place - 600 : place + 600] = b"\xff" * 1200
    file.write_bytes(content)
    images = ParquetImages(file)
    assert read(images, "0", "40") == [IMAGES[0], IMAGES[40]]
    for _ in range(2):
        with pytest.raises(ValueError, match="a damaged Parquet file: "):
            read(images, "120")
    monkeypatch.setattr(RowGroup, "contents", None)  # the damage is remembered
    with pytest.raises(ValueError, match="a damaged Parquet file: "):
        read(images, "120")


def test_few_blocks_are_kept(tmp_path: Path) -> None:
    images = ParquetImages(write_shard(tmp_path / "x.parquet", IMAGES, row_group_size=1000))
    read(images, *images.names)
    kept = parquet_groups._blocks._kept
    assert len(kept) <= parquet_groups.available_cpus() + 2
    assert len(parquet_groups._blocks._open) <= 2
