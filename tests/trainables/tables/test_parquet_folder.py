from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spaces import DataError
from tests.support.images import save_image
from tests.support.parquet import hub_table
from tests.trainables.tables.test_source import listing
from trainables.data import check_source
from trainables.tables.parquet_folder import find_shards


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train.parquet", "test.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("data/train-00000-of-00001-8f2a9.parquet", "data/test-00000-of-00001-77ab3.parquet"),
    ],
)
def test_a_download_of_the_hub_is_read(tmp_path: Path, names: tuple[str, str]) -> None:
    hub_table(tmp_path / "set" / names[0], [0, 1, 1])
    hub_table(tmp_path / "set" / names[1], [0, 1, -1])
    (tmp_path / "set" / "README.md").write_text("A set.")
    check_source(tmp_path / "set", cache=tmp_path / "cache")
    found = listing(tmp_path / "set")
    counts = Counter((row.split, row.label) for row in found.rows)
    assert counts == {
        ("train", "cat"): 1,
        ("train", "dog"): 2,
        ("test", "cat"): 1,
        ("test", "dog"): 1,
    }
    assert {u.reason: u.count for u in found.unused} == {
        "test rows without a label": 1,
        "files beside the Parquet files": 1,
    }


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["train-00000-of-00002"], "has 1 of the 2 Parquet files of train; download the others"),
        (["train-00000-of-00001", "extra-00000-of-00001"], "Parquet files of the splits extra"),
        (["a/train", "b/train"], r"same split in several folders \(a, b\); give the folder"),
    ],
)
def test_a_download_in_part_is_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    for name in names:
        hub_table(tmp_path / "set" / f"{name}.parquet", [0, 1])
    with pytest.raises(DataError, match=sentence):
        check_source(tmp_path / "set", cache=tmp_path)


def test_a_table_beside_class_folders_is_no_part_of_a_split(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save_image(tmp_path / "set" / name / "1.png")
    hub_table(tmp_path / "set" / "measurements.parquet", [0, 1])
    assert find_shards(tmp_path / "set") == {}
    assert {row.label for row in listing(tmp_path / "set").rows} == {"cat", "dog"}


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"label_column": "label"}
    for k in range(3):
        hub_table(tmp_path / "set" / f"train-0000{k}-of-00003.parquet", [k % 2] * (k + 1))
    labels = [row.label for row in listing(tmp_path / "set", **options).rows]
    assert labels == ["cat", "dog", "dog", "cat", "cat", "cat"]
