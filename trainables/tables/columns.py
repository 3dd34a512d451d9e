"""Columns of a table: which holds the images, the labels, the splits and the groups."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces import DataError
from spaces.errors import unknown
from spaces.wording import name_some, shorten
from trainables.listing import ReadOptions, SplitName, split_name
from trainables.tables.column_names import (
    column_words,
    is_id_name,
    is_image_name,
    named_like,
)
from trainables.tables.table import Table, looks_like_image

_LABEL_NAMES = ("label", "class", "target", "category")
_LABEL_WORDS = {*_LABEL_NAMES, "labels", "classes", "targets", "categories"}
"""Words in the names of columns with labels."""
_TOPICS = {
    *("breed", "condition", "diagnosis", "disease", "dx", "finding", "grade", "pathology"),
    *("species", "variety"),
}
"""Words in the names of columns that may hold labels although no word says so."""
_SPLIT_FLAGS: dict[str, SplitName] = {
    **dict.fromkeys(("is_train", "is_training"), "train"),
    **dict.fromkeys(("is_valid", "is_val", "is_validation"), "val"),
    "is_test": "test",
}
"""Split of the True rows, by the names of columns of True and False."""
_SPLIT_WORDS = {
    *("split", "subset", "fold", "set", "phase", "partition", "dataset", "usage"),
    *_SPLIT_FLAGS,
}
"""Names of columns with splits."""
_FLAGS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_ANSWERS = {"yes": True, "y": True, "t": True, "no": False, "n": False, "f": False}
"""Words for True and False in a column of splits; elsewhere they may be those of classes."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table by their use."""

    image: str
    label: str | None
    """Column with the label; None if the labels are `one_hot`."""
    one_hot: tuple[str, ...] = ()
    """Columns of 0 and 1, one for each class."""
    splits: tuple[str, ...] = ()
    """Column with the splits, or several flags, such as "is_valid" and "is_test"."""
    group: str | None = None

    @property
    def used(self) -> set[str]:
        """Names of all columns that are used."""
        named = (self.image, self.label, self.group, *self.splits, *self.one_hot)
        return {name for name in named if name}


def choose_columns(
    table: Table, options: ReadOptions, source: Path | str, *, has_split: bool = False
) -> Columns:
    """Columns that ``options`` name, or else the only ones that fit.

    With ``has_split``, the split of all rows is known, and no column is looked for.

    Raises `DataError` if a named column does not exist, or if none or several columns fit.
    """
    named = {
        "image": options.image_column,
        "label": options.label_column,
        "split": options.split_column,
        "group": options.group_column,
    }
    for role, name in named.items():
        if name is not None:
            columns = table.columns if role == "image" else list(table.frame.columns)
            _require_column(name, columns, f"--{role}-column", source)
    image = options.image_column or _image_column(table, named, source)
    known = {image, *(name for name in named.values() if name)}
    splits: tuple[str, ...] = (options.split_column,) if options.split_column else ()
    if not splits and not has_split:
        splits = _split_columns(table, known, source)
    known |= set(splits)
    label = options.label_column or _label_column(table, known, source)
    one_hot = () if label else _one_hot_columns(table, known, source)
    if not label and not one_hot:
        raise _no_column_error("label", _LABEL_NAMES, table, source)
    return Columns(image, label, one_hot, splits, options.group_column)


def _require_column(name: str, columns: Sequence[str], flag: str, source: Path | str) -> None:
    """Raise `DataError` if there is no column ``name``; the error suggests others."""
    if name not in columns:
        sentence = unknown("column", name, columns)
        if "did you mean" not in sentence:
            sentence = f"Unknown column {name!r}; the columns are {name_some(columns, 20)}."
        raise DataError(f"{flag} does not fit {source}: {sentence}")


def choice_error(
    what: str, candidates: Sequence[str], flag: str, source: Path | str, table: Table | None = None
) -> DataError:
    """Error for several columns that may hold the same thing, with a value of each."""
    shown = [_with_example(name, table) for name in candidates]
    return DataError(
        f"Several columns of {source} may hold {what}: {name_some(shown)}; choose one with {flag}."
    )


def _is_label_name(column: str) -> bool:
    """Whether a column's name says that it holds labels, such as "fine_label"."""
    return not _LABEL_WORDS.isdisjoint(column_words(column))


def flag_values(values: Sequence[str]) -> list[bool] | None:
    """Truth values that a column spells as True and False, or 1 and 0; None if it has others."""
    flags = [_FLAGS.get(value.lower()) for value in values]
    return None if None in flags else [bool(flag) for flag in flags]


def split_flag_values(values: Sequence[str]) -> list[bool] | None:
    """Truth values as `flag_values` gives them, also of "yes" and "no", for a column of splits."""
    answers = [_ANSWERS.get(value.lower()) for value in values]
    return flag_values([v if a is None else str(a) for v, a in zip(values, answers, strict=True)])


def flag_split(column: str) -> SplitName | None:
    """Split of the rows in which a column is True, by its name: "val" for "is_valid"."""
    return _SPLIT_FLAGS.get("_".join(column_words(column)))


def _image_column(table: Table, named: dict[str, str | None], source: Path | str) -> str:
    taken = {name for name in named.values() if name}
    free = [name for name in table.columns if name not in taken]
    fitting = [name for name in free if name in table.embedded]
    if not fitting:
        fitting = [n for n in free if is_image_name(n) or _holds_paths(table, n)]
    if not fitting:
        fitting = [name for name in free if is_id_name(name)]
    if len(fitting) > 1:
        raise choice_error("the images", fitting, "--image-column", source, table)
    if not fitting:
        raise _no_column_error("path", ("image", "file_name"), table, source)
    return fitting[0]


def _holds_paths(table: Table, column: str) -> bool:
    """Whether all values of a column end like image files."""
    if not all(looks_like_image(value) for value in table.first_texts(column) if value):
        return False
    values = [value for value in table.texts(column) if value]
    return bool(values) and all(looks_like_image(value) for value in values)


def _split_columns(table: Table, known: set[str], source: Path | str) -> tuple[str, ...]:
    """Column whose values name splits, or flags of different splits; empty if there are none.

    A column called "split" must name splits, unless it holds numbers.
    """
    fitting = {
        name: [str(split_name(value, "val") or value) for value in table.texts(name)]
        for name in table.frame.columns
        if name not in known and _holds_splits(table, name)
    }
    flags = {flag_split(n) for n in fitting if split_flag_values(table.texts(n)) is not None}
    if len(flags - {None}) == len(fitting):
        return tuple(fitting)
    if len(set(map(tuple, fitting.values()))) > 1:
        raise choice_error("the splits", list(fitting), "--split-column", source, table)
    return tuple(fitting)[:1]


def _holds_splits(table: Table, column: str) -> bool:
    """Whether a column holds splits, by its values and, if not all of them say so, its name."""
    by_name = named_like(column, _SPLIT_WORDS) or "split" in column_words(column)
    if not by_name and None in {split_name(v, "val") for v in table.first_texts(column)}:
        return False
    values = table.texts(column)
    distinct = set(values)
    splits = {split_name(value, "val") for value in distinct}
    if flag_split(column):
        return split_flag_values(values) is not None or bool(splits - {None})
    if by_name:
        numbers = all(re.fullmatch(r"-?\d+(\.\d+)?", value) for value in distinct)
        return bool(splits - {None}) or (column.lower() == "split" and not numbers)
    return None not in splits and len(splits) > 1 and not _is_label_name(column)


def _label_column(table: Table, known: set[str], source: Path | str) -> str | None:
    """The column that holds the labels; None if no column is called so."""
    free = [name for name in table.frame.columns if name not in known]
    fitting = [n for n in free if n in table.classes or _is_label_name(n)]
    if not table.has_header and len(free) == 1:
        fitting = free
    if len(fitting) > 1:
        raise choice_error("the labels", fitting, "--label-column", source, table)
    if fitting:
        _refuse_constant_label(table, fitting[0], free, source)
    return fitting[0] if fitting else None


def _refuse_constant_label(
    table: Table, label: str, free: Sequence[str], source: Path | str
) -> None:
    """Raise `DataError` if all rows have one label and the values of another column recur."""
    rows = len(table.frame)
    counts = {name: len(set(table.texts(name))) for name in free}
    others = [name for name, count in counts.items() if 1 < count < rows]
    if rows > 1 and counts[label] == 1 and others and (value := table.texts(label)[0]):
        raise DataError(
            f"The column {label!r} of {source} always is {value!r}; choose another "
            f"with --label-column, such as {name_some(others)}."
        )


def _one_hot_columns(table: Table, known: set[str], source: Path | str) -> tuple[str, ...]:
    """Columns that hold 0 and 1 only, if there are two or more of them.

    Raises `DataError` if another column may hold the labels just as well.
    """
    free = [n for n in table.frame.columns if n not in known and not is_id_name(n)]
    found = [n for n in free if flag_values(table.first_texts(n)) and flag_values(table.texts(n))]
    if len(found) < 2:
        return ()
    topics = [n for n in free if n not in found and not _TOPICS.isdisjoint(column_words(n))]
    if len(found) == 2 and topics:  # such as male and female beside a diagnosis
        raise choice_error("the labels", [*topics, *found], "--label-column", source, table)
    return tuple(found)


def _no_column_error(
    role: str, names: Sequence[str], table: Table, source: Path | str
) -> DataError:
    """Error for a table without a column that fits, with the flag to name one."""
    others = ", ".join(name for name in names if name != role)
    shown = [_with_example(name, None if table.has_header else table) for name in table.columns]
    flag = "--image-column" if role == "path" else "--label-column"
    return DataError(
        f"{source} has the columns {name_some(shown, 20)}; it needs one called {role!r} (or "
        f"{others}), or name it with {flag}."
    )


def _with_example(column: str, table: Table | None) -> str:
    """Name of a column, with its first value in brackets."""
    if table is None or column in table.embedded or table.frame.empty:
        return column
    return f"{column} ({shorten(table.first_texts(column)[0])!r})"
