import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from trainables.data import Dataset, majority_class_share, survey_images


def test_a_manifest_is_read_back_as_it_was_written(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write(tmp_path / "dataset.json", tmp_path / "split.csv")
    again = Dataset.read(tmp_path / "dataset.json", tmp_path / "split.csv")
    assert again.paths == dataset.paths
    assert again.classes == dataset.classes
    assert (again.labels == dataset.labels).all()
    assert (again.splits == dataset.splits).all()
    assert again.fingerprint == dataset.fingerprint
    assert again.val_is_drawn


def test_renamed_images_are_put_in_the_recorded_order(
    dataset: Dataset, digits: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(digits, tmp_path / "data")
    for k, file in enumerate(sorted((tmp_path / "data").rglob("*.png"))):
        file.rename(file.with_name(f"{hashlib.md5(bytes([k])).hexdigest()}.png"))
    renamed = survey_images(tmp_path / "data", cache=cache).dataset
    assert renamed.fingerprint == dataset.fingerprint
    assert renamed.digests != dataset.digests
    again = renamed.reordered_like(dataset)
    assert again.digests == dataset.digests
    assert (again.labels == dataset.labels).all()
    assert (again.splits == dataset.splits).all()
    for row in (0, len(again) - 1):
        assert again.file(row).read_bytes() == dataset.file(row).read_bytes()


def test_classes_are_put_in_the_recorded_order(dataset: Dataset) -> None:
    reversed_classes = replace(
        dataset,
        classes=dataset.classes[::-1],
        labels=len(dataset.classes) - 1 - dataset.labels,
    )
    again = dataset.reordered_like(reversed_classes)
    assert again.classes == reversed_classes.classes
    assert again.digests == dataset.digests
    for row, label in enumerate(again.labels):
        assert again.classes[label] == dataset.classes[dataset.labels[row]]


def test_the_majority_class_share_is_the_share_of_the_largest_class() -> None:
    assert majority_class_share([0, 1, 1, 1]) == 0.75


@pytest.mark.parametrize("name", ["cat\r", "a,b", 'a"b', "a\nb", "007", "nan"])
def test_any_name_is_read_back(dataset: Dataset, tmp_path: Path, name: str) -> None:
    odd = replace(dataset, classes=(name, *dataset.classes[1:]))
    odd.write(tmp_path / "dataset.json", tmp_path / "split.csv")
    again = Dataset.read(tmp_path / "dataset.json", tmp_path / "split.csv")
    assert again.classes == odd.classes
    assert again.labels.tolist() == odd.labels.tolist()
