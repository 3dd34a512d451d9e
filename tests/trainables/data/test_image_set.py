from pathlib import Path

import numpy as np

from trainables.data import Dataset, ImageSet, build_store
from trainables.images import PixelFormat

FORMAT = PixelFormat(24, "bicubic")


def test_an_image_set_has_the_images_of_its_splits(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORMAT, cache=tmp_path)
    both = ImageSet.of(dataset, store, "train", "val")
    assert len(both) == len(dataset.rows("train")) + len(dataset.rows("val"))
    positions = np.array([3, 50])
    assert (both.images(positions) == store.read(both.rows[positions])).all()
    assert (both.labels == dataset.labels[both.rows]).all()


def test_images_are_repeated_if_more_are_asked_for(train_set: ImageSet) -> None:
    count = len(train_set) + 2
    taken = train_set.take(count)
    assert taken.rows.tolist() == [*train_set.rows, *train_set.rows[:2]]
    assert taken.labels.tolist() == [*train_set.labels, *train_set.labels[:2]]
    assert train_set.take(None) is train_set


def test_a_subset_remembers_the_rows_of_the_largest_set(train_set: ImageSet) -> None:
    half = train_set.subset(np.arange(len(train_set)) % 2 == 0)
    quarter = half.subset(np.arange(0, len(half), 2))
    assert quarter.rows.tolist() == train_set.rows[::4].tolist()
    assert quarter.labels.tolist() == train_set.labels[::4].tolist()
    assert quarter.parent_rows is train_set.rows
