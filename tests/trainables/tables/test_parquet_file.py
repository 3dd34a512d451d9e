import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.tables.parquet_file import class_labels, is_parquet, read_parquet


def test_a_table_of_the_hub_has_images_inside_and_names_of_classes(tmp_path: Path) -> None:
    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": [{"bytes": b"x", "path": "a.png"}] * 2, "label": [1, -1]})
    info = json.dumps({"info": {"features": features}})
    file = tmp_path / "t.parquet"
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), file)
    content = read_parquet(file)
    assert is_parquet(file) and content.embedded == ["image"] and content.classes == ["label"]
    assert content.frame["label"].isna().tolist() == [False, True]
    assert content.frame["label"][0] == "dog"


def test_a_table_of_images_alone_has_its_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"photo": [b"x", b"y"]}), tmp_path / "t.parquet")
    assert len(read_parquet(tmp_path / "t.parquet").frame) == 2


def test_whole_numbers_stay_whole_beside_missing_ones(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": [1, None]}), tmp_path / "t.parquet")
    assert read_parquet(tmp_path / "t.parquet").frame["label"].tolist() == [1, None]


def test_a_class_without_a_name_is_an_error() -> None:
    assert class_labels([0, None, -1], ["cat"]) == ["cat", None, None]
    with pytest.raises(ValueError, match="class 1 has no name"):
        class_labels([1], ["cat"])
