from pathlib import Path

import pandas as pd
import pytest

from spaces import DataError
from trainables.listing.listing import Unused
from trainables.tables.columns import Columns
from trainables.tables.rows import (
    LabelledRow,
    describe_columns,
    labelled_rows,
    sum_unused,
    without_repeats,
)
from trainables.tables.table import Table


def test_rows_of_a_known_split_may_all_lack_a_label_in_test_only() -> None:
    table = Table(pd.DataFrame({"path": ["a", "b"], "label": ["", None]}))
    columns = Columns("path", "label")
    empty = labelled_rows(table, columns, "t.csv", split="test", eval_is="val")
    assert empty.rows == [] and empty.unused[0].count == 2
    with pytest.raises(DataError, match=r"t.csv has 2 rows without a label"):
        labelled_rows(table, columns, "t.csv", split="train", eval_is="val")


def test_an_image_in_two_splits_is_left_to_the_survey() -> None:
    kept = [LabelledRow(0, "x", "train", None), LabelledRow(1, "x", "test", None)]
    rows, unused = without_repeats([Path("a.png")] * 2, kept, "t.csv")
    assert [row.split for row in rows] == ["train", "test"] and unused == []


def test_rows_are_added_up_and_columns_are_counted_once() -> None:
    columns, rows = Unused("other columns of the table", 2, "a, b"), Unused("test rows", 3, "x")
    assert sum_unused([columns, rows, columns, rows]) == (columns, Unused("test rows", 6, "x"))


def test_the_use_of_columns_is_described_in_words() -> None:
    columns = Columns("path", None, ("cat", "dog"), ("is_val", "is_test"), "patient")
    assert describe_columns(columns) == (
        "images: path, labels: one-hot columns cat, dog, splits: is_val and is_test, "
        "groups: patient"
    )
