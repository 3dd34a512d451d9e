from pathlib import Path

import pytest

from spaces import DataError
from tests.support.folders import lay_out
from trainables.folders.layout_choice import choose_reading
from trainables.folders.layouts import Base, Reading
from trainables.folders.tree import scan_tree


def choose(root: Path, layout: str | None = None) -> Reading:
    tree = scan_tree(root).root
    return choose_reading(root, tree, Base(tree, ((None, tree),)), layout)


def test_the_only_layout_that_fits_is_taken(tmp_path: Path) -> None:
    assert choose(lay_out(tmp_path, "cat", "dog")).layout == "class-folders"


def test_a_doubtful_layout_is_taken_if_the_user_names_it(tmp_path: Path) -> None:
    lay_out(tmp_path, "cat", "images")
    with pytest.raises(DataError, match=r"--layout class-folders \(2 classes: cat, images; 6"):
        choose(tmp_path)
    assert choose(tmp_path, "class-folders").labels == ["cat", "images"]


def test_the_layout_table_names_the_table(tmp_path: Path) -> None:
    lay_out(tmp_path, "1.png", "t.csv")
    with pytest.raises(DataError, match=r"give the table beside them as data: .*t.csv"):
        choose(tmp_path, "table")


def test_one_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        choose(lay_out(tmp_path, "cat"))


def test_a_table_beside_one_folder_of_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"give the table beside them as data: .*labels.csv"):
        choose(lay_out(tmp_path, "faces", "labels.csv"))


def test_names_are_no_classes_where_a_table_of_any_kind_lies_beside(tmp_path: Path) -> None:
    lay_out(tmp_path, *(f"{label}_{i}.png" for label in ("cat", "dog") for i in range(3)))
    assert choose(tmp_path).layout == "name-prefix"
    (tmp_path / "metadata.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl"):
        choose(tmp_path)


def test_archives_are_named_where_nothing_else_has_classes(tmp_path: Path) -> None:
    lay_out(tmp_path, "grid.png", "python/images.zip")
    with pytest.raises(DataError, match=r"archives, which are not opened: python/images.zip. Unp"):
        choose(tmp_path)
