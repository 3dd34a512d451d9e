from pathlib import Path

import pandas as pd
import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.data import check_source, read_source
from trainables.data.listing import Listing


def listing(data: Path, **options: str) -> Listing:
    return read_source(data, cache=data.parent / "cache", **options)


def test_a_folder_per_class_is_read_at_any_depth(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "cat" / "1.png")
    save_image(tmp_path / "d" / "dog" / "deep" / "2.jpg")
    result = listing(tmp_path / "d")
    assert [(row.path.name, row.label, row.split) for row in result.rows] == [
        ("1.png", "cat", None),
        ("2.jpg", "dog", None),
    ]


def test_split_folders_are_read_in_all_spellings(tmp_path: Path) -> None:
    for split in ("training", "valid", "Test"):
        save_image(tmp_path / "d" / split / "cat" / "1.png")
    assert {row.split for row in listing(tmp_path / "d").rows} == {"train", "val", "test"}


def test_eval_is_validation_unless_set_to_test(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "train" / "cat" / "1.png")
    save_image(tmp_path / "d" / "eval" / "cat" / "1.png")
    result = listing(tmp_path / "d")
    assert result.rows[0].split == "val"
    assert "--split.eval-is test" in result.notes[0]
    assert listing(tmp_path / "d", eval_is="test").rows[0].split == "test"


def test_hidden_folders_and_other_files_are_ignored_and_counted(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "cat" / "1.png")
    save_image(tmp_path / "d" / "dog" / "1.png")
    save_image(tmp_path / "d" / ".ipynb_checkpoints" / "1.png")
    save_image(tmp_path / "d" / "cat" / ".thumbs" / "1.png")
    (tmp_path / "d" / "cat" / "notes.txt").write_text("x")
    (tmp_path / "d" / "readme.md").write_text("x")
    result = listing(tmp_path / "d")
    assert len(result.rows) == 2
    assert result.ignored == {
        "hidden folders": 2,
        "files that are not images": 1,
        "files outside classes": 1,
    }


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_with_common_column_names(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"Image": ["a/1.png"], "class": ["7"], "subset": ["validation"]})
    file = tmp_path / f"list.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    row = listing(file).rows[0]
    assert (row.path, row.label, row.split) == (tmp_path / "a" / "1.png", "7", "val")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"file": ["1.png"], "diagnosis": ["x"]}, "needs one called 'label'"),
        ({"path": ["1.png"], "label": [""]}, "1 rows without a label"),
        ({"path": ["1.png"], "label": ["a"], "split": ["holdout2"]}, "splits 'holdout2'"),
        ({"path": [], "label": []}, "has no rows"),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, table: dict[str, list[str]], sentence: str
) -> None:
    file = tmp_path / "list.csv"
    pd.DataFrame(table).to_csv(file, index=False)
    with pytest.raises(DataError, match=sentence):
        listing(file)


def test_missing_and_empty_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        listing(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="needs a folder per class"):
        listing(tmp_path / "empty")


def test_a_folder_without_two_classes_is_refused_at_a_glance(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        check_source(tmp_path / "one", cache=tmp_path)
    with pytest.raises(DataError, match="needs a folder per class"):
        check_source(tmp_path / "one" / "cat", cache=tmp_path)
    save_image(tmp_path / "alone" / "train" / "cat" / "1.png")
    check_source(tmp_path / "alone", cache=tmp_path)


def test_classes_beside_split_folders_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "train" / "cat" / "1.png")
    save_image(tmp_path / "d" / "cat" / "1.png")
    with pytest.raises(DataError, match="split folders and also cat"):
        listing(tmp_path / "d")
