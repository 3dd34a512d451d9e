import os
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.data import check_source, read_source
from trainables.listing import ReadOptions


def test_missing_and_empty_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_source(tmp_path / "nowhere", cache=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="needs a folder per class"):
        read_source(tmp_path / "empty", cache=tmp_path)


def test_a_folder_without_two_classes_is_refused_at_a_glance(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        check_source(tmp_path / "one", cache=tmp_path)
    with pytest.raises(DataError, match="needs a folder per class"):
        check_source(tmp_path / "one" / "cat", cache=tmp_path)
    save_image(tmp_path / "alone" / "train" / "cat" / "1.png")
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        check_source(tmp_path / "alone", cache=tmp_path)


def write_folders(root: Path, *folders: str, each: int = 6) -> None:
    for k, folder in enumerate(folders):
        for number in range(each):
            save_image(root / folder / f"p{number // 2}_{number}.png", colour=10 * k + number)


def test_labels_splits_and_groups_are_checked_before_an_image_is_opened(tmp_path: Path) -> None:
    write_folders(tmp_path / "set", "train/a", "train/b", "val/a", "val/c")
    with pytest.raises(DataError, match="The classes of train and val differ: val also has c"):
        check_source(tmp_path / "set", cache=tmp_path)
    write_folders(tmp_path / "small", "a", "b", each=2)
    with pytest.raises(DataError, match="Class 'a' has 2 different images to be split"):
        check_source(tmp_path / "small", cache=tmp_path)
    write_folders(tmp_path / "grouped", "a", "b")
    check_source(tmp_path / "grouped", cache=tmp_path, options=ReadOptions(group_by="(p[0-9])_"))
    with pytest.raises(DataError, match="matches none of the 12 paths"):
        check_source(tmp_path / "grouped", cache=tmp_path, options=ReadOptions(group_by="q[0-9]"))
    with pytest.raises(DataError, match="Class 'a' has 1 group of images to be split"):
        check_source(tmp_path / "grouped", cache=tmp_path, options=ReadOptions(group_by="p"))


@pytest.mark.parametrize("name", [b"cat/caf\xe9.png", b"caf\xe9/0.png"])
def test_names_that_no_table_can_hold_are_refused(tmp_path: Path, name: bytes) -> None:
    folder = tmp_path / "images"
    for number in range(9):
        for label in ("cat", "dog"):
            save_image(folder / label / f"{label}{number}.png")
    save_image(folder / os.fsdecode(name))
    refusal = r"of 1 image are not UTF-8, such as .*caf\\xe9"
    with pytest.raises(DataError, match=refusal):
        check_source(folder, cache=tmp_path)
    with pytest.raises(DataError, match=refusal):
        read_source(folder, cache=tmp_path)
