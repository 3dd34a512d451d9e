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


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"Only one class was found \(a\)"):
        class_names(rows(("a", None)))
