import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spaces import DataError
from tests.support.folders import lay_out
from tests.support.images import save_image
from trainables.data import check_source, read_source
from trainables.images import image_formats as image_formats
from trainables.listing import ReadOptions
from trainables.listing.listing import Listing


def listing(data: Path, **options: Any) -> Listing:
    return read_source(data, cache=data.parent / "cache", options=ReadOptions(**options))


def counts(result: Listing) -> Counter[str]:
    """Images by split and label, such as "train cat"."""
    return Counter(f"{row.split or ''} {row.label}".strip() for row in result.rows)


def named(*stems: str) -> list[str]:
    """Three numbered files for each stem, which has a "#" for the number."""
    return [f"{stem.replace('#', str(k))}.jpg" for stem in stems for k in range(3)]


CLASSES = {"cat": 3, "dog": 3}
SPLIT = {"train cat": 3, "train dog": 3, "test cat": 3, "test dog": 3}


def split_folders(train: str, test: str) -> list[str]:
    return [f"{split}/{label}" for split in (train, test) for label in ("cat", "dog")]


READ: dict[str, tuple[list[str], dict[str, int], str]] = {
    "flat classes": (["cat", "dog"], CLASSES, "a folder per class"),
    "classes of digits": (["0", "1", "10"], {"0": 3, "1": 3, "10": 3}, "a folder per class"),
    "one wrapper": (["data/cat", "data/dog"], CLASSES, "a folder per class, in data"),
    "wrapper of another name": (["pets/cat", "pets/dog"], CLASSES, "a folder per class, in pets"),
    "wrappers of the same name": (
        ["flowers/flowers/cat", "flowers/flowers/dog"],
        CLASSES,
        "a folder per class, in flowers/flowers",
    ),
    "wrapper in a repository": (
        ["Dataset/cat", "Dataset/dog", "README.md", "src/train.py", "LICENSE.txt"],
        CLASSES,
        "a folder per class, in Dataset",
    ),
    "brain tumor classification": (
        [*split_folders("Training", "Testing"), "README.md"],
        SPLIT,
        "Testing/Training folders, a folder per class in each",
    ),
    "splits with affixes": (split_folders("Training_Set", "Test_Set"), SPLIT, "Test_Set/"),
    "splits with years": (split_folders("train2017", "test2017"), SPLIT, "test2017/"),
    "splits with x": (split_folders("x_train", "x_test"), SPLIT, "x_test/"),
    "splits of images": (split_folders("train-images", "test-images"), SPLIT, "test-images/"),
    "splits in capitals": (split_folders("TRAIN", "TEST"), SPLIT, "TEST/"),
    "splits with a common word": (split_folders("seg_train", "seg_test"), SPLIT, "seg_test/"),
    "splits that wrap themselves": (
        split_folders("seg_train/seg_train", "seg_test/seg_test"),
        SPLIT,
        "seg_test/",
    ),
    "splits in a wrapper": (
        split_folders("archive/data/train", "archive/data/test"),
        SPLIT,
        "a folder per class in each, in archive/data",
    ),
    "train alone": (["train/cat", "train/dog"], {"train cat": 3, "train dog": 3}, "train folders"),
    "test without labels": (
        ["train/cat", "train/dog", "test/1.jpg", "test/2.jpg"],
        {"train cat": 3, "train dog": 3},
        "test/train",
    ),
    "classes with splits": (
        ["cat/train", "cat/test", "dog/train", "dog/test"],
        SPLIT,
        "a folder per class, split folders in each",
    ),
    "classes with images": (
        ["cat/images", "dog/images"],
        CLASSES,
        "a folder per class, and its images in images",
    ),
    "splits, classes and images": (
        [f"{folder}/images" for folder in split_folders("train", "test")],
        SPLIT,
        "test/train folders, a folder per class, and its images in images",
    ),
    "a deep folder in a class": (["cat", "dog/deep/deeper"], CLASSES, "a folder per class"),
    "masks beside images": (
        ["cat/images", "cat/masks", "dog/images", "dog/masks"],
        CLASSES,
        "its images in images",
    ),
    "masks in a tree of their own": (
        ["images/cat", "images/dog", "Ground_truth/cat", "Ground_truth/dog"],
        CLASSES,
        "in images",
    ),
    "a class called mask": (["mask", "no_mask"], {"mask": 3, "no_mask": 3}, "a folder per class"),
    "classes valid and invalid": (["valid", "invalid"], {"valid": 3, "invalid": 3}, "per class"),
    "names begin with the class": (
        named("cat_#", "dog_#"),
        CLASSES,
        "names of files begin with the class",
    ),
    "names begin with the class and have blanks": (
        named("big cat (#)", "dog (#)"),
        {"big cat": 3, "dog": 3},
        "begin",
    ),
    "names end with the class": (named("#_bath", "#_bed"), {"bath": 3, "bed": 3}, "end"),
    "names in a wrapper": (named("images/cat.#", "images/dog.#"), CLASSES, "begin"),
    "names in splits": (
        named("train/cat.#", "train/dog.#", "test/#"),
        {"train cat": 3, "train dog": 3},
        "test/train folders, names of files begin with the class",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_layout_that_alone_fits_is_taken_and_named(name: str, tmp_path: Path) -> None:
    entries, expected, kind = READ[name]
    data = lay_out(tmp_path / "d", *entries)
    check_source(data, cache=tmp_path)
    result = listing(data)
    assert counts(result) == expected
    assert kind in result.kind
    left = sum(1 for path in data.rglob("*") if path.is_file()) - len(result.rows)
    assert sum(unused.count for unused in result.unused) == left, "every other file is told"


TOLD: dict[str, tuple[list[str], str]] = {
    "two data sets side by side": (
        ["set A/cat", "set A/dog", "set B/cat", "set B/dog"],
        r"set A, set B are no classes .* class-subclass \(2 classes: set A, set B; 12 images\).* "
        r"subclass \(2 classes: cat, dog; 12 images\).* class-path \(4 classes",
    ),
    "splits of unknown names": (
        ["first/cat", "first/dog", "second/cat", "second/dog"],
        r"first, second have the same subfolders \(if they are splits, call them train",
    ),
    "brain tumor detection": (
        ["yes", "no", "augmented data/yes", "augmented data/no"],
        r"augmented data has several folders of its own \(no, yes\).*--ignore 'augmented data'",
    ),
    "omniglot": (
        ["images_background/Greek/c1", "images_background/Greek/c2", "images_evaluation/Mayan/c1"],
        r"several folders of its own \(c1, c2\).*--layout class-path \(3 classes",
    ),
    "subclasses": (["cat/persian", "cat/siamese", "dog/poodle"], r"--layout class-subclass \(2.*"),
    "subclasses in splits": (
        ["train/cat/persian", "train/cat/siamese", "train/dog", "test/cat", "test/dog"],
        r"train/cat has several folders",
    ),
    "pictures of the repository": (
        ["Dataset/cat", "Dataset/dog", "Examples/1.jpg", "README.md"],
        r"Dataset, Examples are no classes by their names.*Dataset as the data \(2 classes: cat",
    ),
    "a container among classes": (["cat", "dog", "images"], r"images is no class by its name"),
    "images alone": (named("images/#"), r"3 images, but nothing tells their classes"),
    "images from cameras": (named("IMG_#", "DSC_#"), r"nothing tells their classes"),
    "images and a table": (
        [*named("images/#"), "train.csv"],
        r"give the table beside them as data: .*d/train.csv",
    ),
    "names and a table": ([*named("cat_#", "dog_#"), "t.csv"], r"name-prefix.*d/t.csv as the data"),
    "images and several tables": (
        [*named("images/#"), "train.csv", "sample_submission.csv"],
        r"give one of the tables beside them as data: .*sample_submission.csv, .*train.csv",
    ),
    "a class without images": (["cat", "dog", "cow/"], r"Class cow has no .*--ignore 'cow'"),
    "a class of camera raw files": (
        ["cat", "dog", "cow/1.cr2"],
        r"Class cow has no readable image in .*--ignore 'cow'",
    ),
    "a class of camera raw files beside one class": (
        ["cat/a", "cat/b", "dog/1.cr2"],
        r"dog in .* has files but no readable image, such as dog/1.cr2",
    ),
    "classes beside splits": (
        ["train/cat", "train/dog", "cow"],
        r"has split folders and also cow; .*--ignore 'cow' .*--layout class-folders",
    ),
    "an empty split": (["train/cat", "train/dog", "val/"], r"The split folder val of .* has no"),
    "test and val without train": (
        ["test/cat", "test/dog", "val/cat", "val/dog"],
        r"has the split folders test and val but none for train",
    ),
    "one class": (["cat"], r"Only one class was found \(cat\)"),
    "names in a folder of another name": (
        named("Houses Dataset/#_bath", "Houses Dataset/#_kitchen"),
        r"give .*Houses Dataset as the data \(2 classes: bath, kitchen; 6 images\)",
    ),
    "many classes one level too high": (
        [f"part{k}/{label}" for k in range(9) for label in ("cat", "dog")],
        r"part0, part1, part2, part3, part4 have the same",
    ),
    "cell images in parts": (
        ["set1/JPEGImages", "set2/images/TRAIN", "set2/images/TEST"],
        r"set2/images has several folders of its own \(TEST, TRAIN\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_other_layouts_are_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    entries, sentence = TOLD[name]
    data = lay_out(tmp_path / "d", *entries)
    with pytest.raises(DataError, match=sentence) as error:
        check_source(data, cache=tmp_path)
    assert len(str(error.value).replace(str(tmp_path), "")) < 900
    with pytest.raises(DataError, match=sentence):
        listing(data)


CHOSEN: dict[str, tuple[list[str], dict[str, Any], dict[str, int]]] = {
    "outer folders": (
        ["cat/persian", "cat/siamese", "dog"],
        {"layout": "class-subclass"},
        {"cat": 6, "dog": 3},
    ),
    "inner folders": (
        ["a/cat", "a/dog", "b/cat", "b/dog"],
        {"layout": "subclass"},
        {"cat": 6, "dog": 6},
    ),
    "paths of folders": (
        ["a/cat", "a/dog", "b/cat"],
        {"layout": "class-path"},
        {"a/cat": 3, "a/dog": 3, "b/cat": 3},
    ),
    "container names as classes": (
        ["images", "masks"],
        {"layout": "class-folders"},
        {"images": 3, "masks": 3},
    ),
    "split names as classes": (
        ["train", "bus"],
        {"layout": "class-folders"},
        {"train": 3, "bus": 3},
    ),
    "a folder left out": (["cat", "dog", "cow/"], {"ignore": ("cow",)}, CLASSES),
    "copies left out": (
        ["yes", "no", "augmented data/yes", "augmented data/no"],
        {"ignore": ("augmented data",)},
        {"yes": 3, "no": 3},
    ),
    "a folder beside splits left out": (
        ["train/cat", "train/dog", "docs"],
        {"ignore": ("docs",)},
        {"train cat": 3, "train dog": 3},
    ),
    "names although there is a table": (
        [*named("cat_#", "dog_#"), "t.csv"],
        {"layout": "name-prefix"},
        CLASSES,
    ),
    "eval as test": (
        split_folders("train", "Eval"),
        {"eval_is": "test"},
        SPLIT,
    ),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_users_answer_chooses(name: str, tmp_path: Path) -> None:
    entries, options, expected = CHOSEN[name]
    assert counts(listing(lay_out(tmp_path / "d", *entries), **options)) == expected


def test_an_unknown_layout_and_one_that_does_not_fit_name_those_that_do(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "d", "cat", "dog")
    with pytest.raises(DataError, match="Unknown layout 'class-folder'; did you mean"):
        listing(data, layout="class-folder")
    with pytest.raises(DataError, match=r"split-class does not fit .* --layout class-folders"):
        listing(data, layout="split-class")


def test_an_archive_that_holds_the_data_twice_is_refused(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "d", "a/cat", "a/dog")
    shutil.copytree(data / "a", data / "b")
    with pytest.raises(DataError, match=r"a/cat and b/cat .* hold the same 3 images"):
        listing(data, layout="subclass")
    assert counts(listing(data, ignore=("b",))) == CLASSES


def test_two_classes_that_are_copies_are_refused(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "d", "cat", "dog")
    shutil.copytree(data / "cat", data / "cat copy")
    with pytest.raises(DataError, match=r"cat and cat copy .* --ignore '/cat copy'"):
        check_source(data, cache=tmp_path)


def test_a_folder_per_class_is_read_at_any_depth(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "cat" / "1.png")
    save_image(tmp_path / "d" / "dog" / "deep" / "2.jpg")
    result = listing(tmp_path / "d")
    assert [(row.path.name, row.label, row.split) for row in result.rows] == [
        ("1.png", "cat", None),
        ("2.jpg", "dog", None),
    ]


def test_eval_is_validation_unless_set_to_test(tmp_path: Path) -> None:
    save_image(tmp_path / "d" / "train" / "cat" / "1.png")
    save_image(tmp_path / "d" / "eval" / "cat" / "1.png")
    result = listing(tmp_path / "d")
    assert result.rows[0].split == "val"
    assert "--split.eval-is test" in result.notes[0]
    assert listing(tmp_path / "d", eval_is="test").rows[0].split == "test"


def test_eval_within_each_class_is_read_as_told_and_noted(tmp_path: Path) -> None:
    entries = [f"{name}/{split}" for name in ("cat", "dog") for split in ("train", "eval")]
    data = lay_out(tmp_path / "d", *entries)
    assert {row.split for row in listing(data).rows} == {"train", "val"}
    assert "--split.eval-is test" in listing(data).notes[0]
    assert {row.split for row in listing(data, eval_is="test").rows} == {"train", "test"}


def test_all_that_is_not_used_is_named_with_counts_and_an_example(tmp_path: Path) -> None:
    data = lay_out(
        tmp_path / "d",
        *("cat", "dog", "banner.png", "cat/0_mask.png", "dog/a.txt", "dog/b.txt", "readme.md"),
        *("notes/", ".ipynb_checkpoints/1.png", "cat/.thumbs/1.png", "cat/.DS_Store.db", "old"),
    )
    (data / "again").symlink_to(data)
    (data / "notes").rmdir()
    result = listing(data, ignore=("old", "*.tmp"))
    assert counts(result) == CLASSES
    assert {u.reason: (u.count, u.example) for u in result.unused} == {
        "files that are not images (.md)": (1, "readme.md"),
        "files that are not images (.txt)": (2, "dog/a.txt"),
        "folders left out by --ignore": (1, "old"),
        "hidden files": (1, "cat/.DS_Store.db"),
        "hidden folders": (2, ".ipynb_checkpoints"),
        "images beside the folders that the layout gives no label": (1, "banner.png"),
        "links that lead back to a folder that holds them": (1, "again"),
        "masks and annotations of other images": (1, "cat/0_mask.png"),
    }
    assert result.notes == ("--ignore '*.tmp' matches nothing.",)


def test_files_with_the_suffix_of_an_image_are_not_opened_to_list_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lay_out(tmp_path / "d", "cat", "dog", "dog/a.txt")

    def fail(path: Path) -> bytes:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(image_formats, "read_head", fail)
    assert counts(listing(data)) == CLASSES


def test_images_without_a_suffix_count_by_their_content(tmp_path: Path) -> None:
    data = lay_out(tmp_path / "d", "cat", "dog")
    (data / "cat" / "0.png").rename(data / "cat" / "photo")
    (data / "dog" / "0.png").rename(data / "dog" / "subject01.happy")
    assert counts(listing(data)) == CLASSES
