from dataclasses import replace
from pathlib import Path

import numpy as np

from search.report.data_charts import class_balance_picture
from trainables.data import Dataset


def dataset_of(*sizes: int) -> Dataset:
    """A dataset with so many training images of each class."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = tuple(f"{row:03d}" for row in range(len(labels)))
    classes = tuple(f"class {k}" for k in range(len(sizes)))
    splits = np.full(len(labels), "train")
    return Dataset(Path("nowhere"), classes, names, labels, splits, names, "fingerprint")


def test_the_largest_class_is_compared_with_the_smallest() -> None:
    picture = class_balance_picture(dataset_of(4, 10, 6))
    assert picture.alt == "Images per class: from 4 of class 0 to 10 of class 1."
    assert "class 1 has 2.5 times the images of class 0" in picture.caption


def test_equally_large_classes_are_not_compared() -> None:
    picture = class_balance_picture(dataset_of(4, 4))
    assert picture.alt == "Images per class: 4 in each."
    assert "times" not in picture.caption


def test_with_many_classes_the_smallest_are_left_out_of_the_chart() -> None:
    assert (
        "The 2 smallest classes are left out."
        in class_balance_picture(dataset_of(*range(1, 33))).caption
    )


def test_images_of_all_splits_count() -> None:
    dataset = dataset_of(2, 2)
    picture = class_balance_picture(replace(dataset, splits=np.array(["train", "test"] * 2)))
    assert picture.alt == "Images per class: 2 in each."
