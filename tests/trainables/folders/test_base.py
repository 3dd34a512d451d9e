from pathlib import Path

import pytest

from spaces import DataError
from tests.support.folders import lay_out
from trainables.folders.base import describe_counts, find_base, refuse_empty_classes
from trainables.folders.layouts import Base, class_folders
from trainables.folders.tree import scan_tree


def base(root: Path, layout: str | None = None) -> Base:
    return find_base(root, scan_tree(root).root, layout, "val")


def test_folders_that_wrap_the_classes_are_descended(tmp_path: Path) -> None:
    lay_out(tmp_path, "a/a/cat", "a/a/dog", "notes/1.txt")
    assert base(tmp_path).folder.path == "a/a"


def test_split_folders_are_found_below_wrappers_and_unwrapped(tmp_path: Path) -> None:
    lay_out(tmp_path, "d/train/images/cat", "d/train/images/dog", "d/Test/cat", "d/Test/dog")
    found = base(tmp_path)
    assert [(split, part.path) for split, part in found.parts] == [
        ("test", "d/Test"),
        ("train", "d/train/images"),
    ]
    assert (found.split_names, found.is_split) == (("Test", "train"), True)


def test_split_folders_are_classes_if_the_user_says_so(tmp_path: Path) -> None:
    lay_out(tmp_path, "train", "bus")
    assert not base(tmp_path, "class-folders").is_split
    with pytest.raises(DataError, match="has split folders and also bus"):
        base(tmp_path)


def test_a_class_folder_without_images_is_refused_but_not_one_of_code(tmp_path: Path) -> None:
    lay_out(tmp_path, "cat", "dog", "src/a.py")
    found = base(tmp_path)
    reading = class_folders(found)
    assert reading is not None
    refuse_empty_classes(tmp_path, found, reading)
    lay_out(tmp_path, "cow/a.txt")
    with pytest.raises(DataError, match="Class cow has no readable image"):
        refuse_empty_classes(tmp_path, base(tmp_path), reading)


def test_counts_are_described_with_few_names() -> None:
    assert describe_counts(["a", "b", "c", "d"], 9) == "4 classes: a, b, c and 1 more; 9 images"
