from pathlib import Path

import numpy as np
import pytest

from spaces import DataError
from trainables.data.scan_results import ScannedImage
from trainables.data.split import SplitSpec, assign_splits
from trainables.data.units import Units
from trainables.listing.listing import Row


def images(labels: list[str]) -> list[tuple[Row, ScannedImage]]:
    return [(Row(Path(f"{k}.png"), x), ScannedImage(f"{k:03}")) for k, x in enumerate(labels)]


def units_of(names: list[str], *, exact: bool) -> Units:
    groups = tuple(None if exact else name for name in names)
    return Units(tuple(names), np.empty((0, 2), dtype=np.int64), groups, exact)


def test_units_of_several_classes_are_drawn_whole_and_every_split_has_every_class() -> None:
    labels = ["a", "b", "b"] * 40
    names = [f"g{k // 6}" for k in range(120)]
    readable = images(labels)
    splits, words = assign_splits(readable, units_of(names, exact=False), SplitSpec())
    assert all(len(set(splits[k : k + 6])) == 1 for k in range(0, 120, 6))
    assert {(s, x) for s, x in zip(splits, labels, strict=True)} == {
        (s, x) for s in ("train", "val", "test") for x in "ab"
    }
    assert words.endswith("groups and near copies together, seed 0")


def test_a_class_with_fewer_groups_than_splits_is_refused() -> None:
    labels = ["a"] * 30 + ["b"] * 10
    names = [f"g{k // 3}" for k in range(30)] + [f"h{k // 5}" for k in range(10)]
    with pytest.raises(DataError, match=r"Class 'b' has 2 groups of images .* --group-by"):
        assign_splits(images(labels), units_of(names, exact=False), SplitSpec())


def test_without_groups_each_class_is_drawn_on_its_own() -> None:
    labels = ["a"] * 40 + ["b"] * 20
    readable = images(labels)
    splits, _ = assign_splits(
        readable, units_of([i.digest for _, i in readable], exact=True), SplitSpec()
    )
    assert [splits[:40].count(s) for s in ("train", "val", "test")] == [28, 6, 6]
    assert [splits[40:].count(s) for s in ("train", "val", "test")] == [14, 3, 3]
