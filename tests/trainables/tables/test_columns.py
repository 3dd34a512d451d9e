import pandas as pd
import pytest

from spaces import DataError
from trainables.listing.listing import SPLITS, ReadOptions
from trainables.tables.columns import (
    choose_columns,
    flag_split,
    flag_values,
    split_flag_values,
)
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
    assert choose_columns(columns, ReadOptions(), "t").splits == ("split",)
    assert choose_columns(columns, ReadOptions(), "t", has_split=True).splits == ()


def test_columns_with_equal_splits_are_no_choice() -> None:
    columns = table(path=["a", "b"], label=["x", "y"], split=["train", "val"], is_valid=[0, 1])
    with pytest.raises(DataError, match="choose one with --split-column"):
        choose_columns(columns, ReadOptions(), "t")
    columns = table(
        path=["a", "b"], label=["x", "y"], split=["train", "val"], phase=["train", "dev"]
    )
    assert choose_columns(columns, ReadOptions(), "t").splits == ("split",)


def test_flags_of_different_splits_belong_together() -> None:
    columns = table(path=["a", "b"], label=["x", "y"], is_valid=[0, 1], is_test=[1, 0])
    assert choose_columns(columns, ReadOptions(), "t").splits == ("is_valid", "is_test")
    one = choose_columns(columns, ReadOptions(split_column="is_test"), "t")
    assert one.splits == ("is_test",)
    columns = table(path=["a", "b"], label=["x", "y"], is_valid=[0, 1], is_val=[1, 0])
    with pytest.raises(DataError, match="choose one with --split-column"):
        choose_columns(columns, ReadOptions(), "t")


def test_names_of_columns_are_read_as_words() -> None:
    assert [flag_split(name) for name in ("isTrain", "isValid", "is_test")] == list(SPLITS)
    assert flag_split("island") is None and flag_split("\u00e9") is None


def test_flags_are_true_and_false_or_numbers() -> None:
    assert flag_values(["True", "0", "1.0"]) == [True, False, True]
    assert flag_values(["1", "2"]) is None


def test_flags_of_splits_may_be_yes_and_no() -> None:
    assert split_flag_values(["Yes", "no", "T", "0"]) == [True, False, True, False]
    assert split_flag_values(["yes", "maybe"]) is None
    assert flag_values(["yes", "no"]) is None


def test_two_columns_of_0_and_1_beside_a_diagnosis_leave_a_choice() -> None:
    columns = table(path=["a", "b"], diagnosis=["x", "y"], male=[1, 0], female=[0, 1])
    with pytest.raises(DataError, match=r"hold the labels: diagnosis \('x'\), male .*, female"):
        choose_columns(columns, ReadOptions(), "t")
    named = choose_columns(columns, ReadOptions(label_column="diagnosis"), "t")
    assert (named.label, named.one_hot) == ("diagnosis", ())
    columns = table(path=["a", "b"], male=[1, 0], female=[0, 1])
    assert choose_columns(columns, ReadOptions(), "t").one_hot == ("male", "female")
