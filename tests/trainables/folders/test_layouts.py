from pathlib import Path

import pytest

from tests.support.folders import lay_out
from trainables.folders.layouts import LAYOUTS, Base, apply_layouts, has_no_classes
from trainables.folders.tree import scan_tree


def base(root: Path, *entries: str) -> Base:
    tree = scan_tree(lay_out(root, *entries)).root
    return Base(tree, ((None, tree),))


@pytest.mark.parametrize(
    ("layout", "entries", "labels"),
    [
        ("class-folders", ["cat", "dog"], ["cat", "dog"]),
        ("class-images", ["cat/images", "dog/img"], ["cat", "dog"]),
        ("class-split", ["cat/train", "dog/train", "dog/test"], ["cat", "dog"]),
        ("class-subclass", ["cat/a", "cat/b", "dog"], ["cat", "dog"]),
        ("subclass", ["cat/a", "cat/b/images", "dog"], ["a", "b", "dog"]),
        ("class-path", ["cat/a", "cat/b", "dog/a"], ["cat/a", "cat/b", "dog/a"]),
        ("name-prefix", ["a1.png", "a2.png", "b1.png", "b2.png"], ["a", "b"]),
        ("name-suffix", ["1a.png", "2a.png", "1b.png", "2b.png"], ["a", "b"]),
    ],
)
def test_each_layout_labels_the_images(
    layout: str, entries: list[str], labels: list[str], tmp_path: Path
) -> None:
    reading = LAYOUTS[layout](base(tmp_path, *entries))
    assert reading is not None
    assert (reading.layout, reading.labels) == (layout, labels)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_fits_images_without_names_in_one_folder(layout: str, tmp_path: Path) -> None:
    assert LAYOUTS[layout](base(tmp_path, "1.png", "2.png")) is None


def test_readings_that_label_all_images_alike_are_one(tmp_path: Path) -> None:
    readings = apply_layouts(base(tmp_path, "cat/images", "dog/images"))
    assert [(reading.layout, reading.doubts) for reading in readings] == [("class-images", ())]


def test_classes_of_classes_and_container_names_are_doubted(tmp_path: Path) -> None:
    nested = LAYOUTS["class-folders"](base(tmp_path / "1", "cat/a", "cat/b", "dog"))
    container = LAYOUTS["class-folders"](base(tmp_path / "2", "cat", "images"))
    assert nested and nested.doubts == (("cat has several folders of its own (a, b)", "cat"),)
    assert container and container.doubts == (("images is no class by its name", "images"),)


def test_parts_of_one_set_are_doubted_as_classes(tmp_path: Path) -> None:
    parts = LAYOUTS["class-folders"](base(tmp_path / "1", "images_part_1", "images_part_2"))
    grades = LAYOUTS["class-folders"](base(tmp_path / "2", "grade_1", "grade_2"))
    assert parts and parts.doubts == (
        ("images_part_1, images_part_2 are parts of one set by their names", ""),
    )
    assert grades and not grades.doubts


def test_names_with_the_number_of_a_class_are_doubted(tmp_path: Path) -> None:
    names = [f"{c}_0{k}.png" for c in ("well", "stage1", "stage2") for k in range(2)]
    reading = LAYOUTS["name-prefix"](base(tmp_path, *names))
    assert reading and reading.labels == ["stage", "well"]
    assert [doubt.reason for doubt in reading.doubts] == [
        "names that begin with stage1 and stage2 may be those of two classes (a table can tell "
        "them apart)"
    ]


def test_folders_such_as_images_are_no_classes(tmp_path: Path) -> None:
    assert has_no_classes(base(tmp_path / "1", "images_001/1.png", "images_002/2.png"))
    assert not has_no_classes(base(tmp_path / "2", "cat/1.png"))


def test_split_folders_within_several_data_sets_are_no_splits_of_classes(tmp_path: Path) -> None:
    entries = [f"{s}/{split}/{c}" for s in "xy" for split in ("train", "test") for c in "ab"]
    readings = apply_layouts(base(tmp_path, *entries))
    assert readings and all(reading.doubts for reading in readings)
