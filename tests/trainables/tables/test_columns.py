import pandas as pd
import pytest

from spaces import DataError
from trainables.listing.listing import ReadOptions
from trainables.tables.columns import choose_columns, flag_values, is_split_flag
from trainables.tables.table import Table


def table(**columns: list[object]) -> Table:
    return Table(pd.DataFrame(columns))


def test_a_declared_column_of_classes_holds_the_labels() -> None:
    declared = Table(pd.DataFrame({"kind": ["cat", "dog"]}), ("image",), ("kind",))
    assert choose_columns(declared, ReadOptions(), "t").label == "kind"


def test_images_inside_the_table_come_before_names_of_files() -> None:
    both = Table(pd.DataFrame({"file_name": ["a.png"], "label": ["x"]}), ("image",))
    assert choose_columns(both, ReadOptions(), "t").image == "image"


def test_a_split_that_is_known_needs_no_column() -> None:
    columns = table(path=["a", "b"], label=["x", "y"], split=["train", "test"])
    assert choose_columns(columns, ReadOptions(), "t").split == "split"
    assert choose_columns(columns, ReadOptions(), "t", has_split=True).split is None


def test_columns_with_equal_splits_are_no_choice() -> None:
    columns = table(path=["a", "b"], label=["x", "y"], split=["train", "val"], is_valid=[0, 1])
    with pytest.raises(DataError, match="choose one with --split-column"):
        choose_columns(columns, ReadOptions(), "t")
    columns = table(
        path=["a", "b"], label=["x", "y"], split=["train", "val"], phase=["train", "dev"]
    )
    assert choose_columns(columns, ReadOptions(), "t").split == "split"


def test_names_of_columns_are_read_as_words() -> None:
    assert is_split_flag("isValid") and not is_split_flag("island") and not is_split_flag("\u00e9")


def test_flags_are_true_and_false_or_numbers() -> None:
    assert flag_values(["True", "0", "1.0"]) == [True, False, True]
    assert flag_values(["1", "2"]) is None
