from pathlib import Path

import pytest

from spaces import DataError
from trainables.data.classes import class_names
from trainables.listing.listing import Row, SplitName


def rows(*labels: tuple[str, SplitName | None]) -> list[Row]:
    return [Row(Path(f"{k}.png"), label, split) for k, (label, split) in enumerate(labels)]


def test_classes_stand_in_natural_order() -> None:
    assert class_names(rows(("10", None), ("9", None), ("9", None))) == ("9", "10")


def test_splits_with_different_classes_are_refused_with_the_difference() -> None:
    given = rows(("a", "train"), ("b", "train"), ("a", "val"), ("c", "val"))
    with pytest.raises(DataError, match="val also has c; val lacks b; give every split the same"):
        class_names(given)


def test_many_classes_of_one_split_alone_are_not_all_named() -> None:
    given = rows(("a", "train"), ("a", "test"), *[(f"c{k}", "test") for k in range(1000)])
    with pytest.raises(DataError, match=r"test also has c0, c1, .* and 995 more; give every"):
        class_names(given)


def test_splits_without_train_are_refused() -> None:
    with pytest.raises(DataError, match="All images are of val and test, and none is of train"):
        class_names(rows(("a", "test"), ("b", "test"), ("a", "val"), ("b", "val")))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"Only one class was found \(a\)"):
        class_names(rows(("a", None)))
