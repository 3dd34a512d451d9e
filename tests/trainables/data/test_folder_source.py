from pathlib import Path
from typing import Any

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.data import ReadOptions, read_source
from trainables.data.listing import Listing


def listing(data: Path, **options: Any) -> Listing:
    return read_source(data, cache=data.parent / "cache", options=ReadOptions(**options))


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
    assert {unused.reason: unused.count for unused in result.unused} == {
        "hidden folders": 2,
        "files that are not images": 1,
        "files outside classes": 1,
    }


def test_classes_beside_split_folders_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "train" / "cat" / "1.png")
    save_image(tmp_path / "d" / "cat" / "1.png")
    with pytest.raises(DataError, match="split folders and also cat"):
        listing(tmp_path / "d")
