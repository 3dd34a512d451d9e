"""Rows of a table: label, split and group of each image, wherever the images are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Literal

from spaces import DataError
from spaces.wording import counted, name_some, shorten
from trainables.listing import (
    SPLITS,
    IgnorePatterns,
    Row,
    SplitName,
    Unused,
    eval_notes,
    natural_key,
    split_name,
)
from trainables.tables.columns import Columns, flag_split, flag_values, split_flag_values
from trainables.tables.table import Table

_LABEL_SEPARATORS = ("|", ";", ",", "&", "+", "/")
"""Characters that several labels in one value are joined with."""


@dataclass(frozen=True)
class LabelledRow:
    """A row of the table that has a label. ``number`` counts from 0."""

    number: int
    label: str
    split: SplitName | None
    group: str | None


@dataclass(frozen=True)
class LabelledRows:
    """All rows with a label, in the table's order, and what is not used."""

    rows: list[LabelledRow]
    unused: tuple[Unused, ...]
    notes: tuple[str, ...]


def labelled_rows(
    table: Table,
    columns: Columns,
    source: Path | str,
    *,
    split: SplitName | None,
    eval_is: Literal["val", "test"],
) -> LabelledRows:
    """Rows with a label. Rows of test without one are left out.

    ``split`` is that of all rows, if the table has no column with splits.

    Raises `DataError` if another row has no label, or a value is wrong.
    """
    splits, notes = _splits(table, columns.splits, eval_is, source)
    splits = splits if columns.splits else [split] * len(splits)
    labels = _labels(table, columns, source)
    groups = table.texts(columns.group) if columns.group else [""] * len(labels)
    empty = [k for k, label in enumerate(labels) if not label]
    wrong = sum(splits[k] != "test" for k in empty)
    if wrong or (split is None and len(empty) == len(labels)):
        lacking = counted(wrong or len(empty), "row")
        raise DataError(f"{source} has {lacking} without a label; fill or drop them.")
    rows = [
        LabelledRow(k, label, splits[k], groups[k] or None)
        for k, label in enumerate(labels)
        if label
    ]
    others = [name for name in table.columns if name not in columns.used]
    unlabelled = [_image_name(table, columns.image, k) for k in empty]
    unused = (
        Unused("other columns of the table", len(others), name_some(others)),
        Unused("test rows without a label", len(unlabelled), name_some(unlabelled[:1])),
    )
    return LabelledRows(rows, tuple(u for u in unused if u.count), (*table.notes, *notes))


def without_ignored(
    labelled: LabelledRows, names: Sequence[str], ignore: IgnorePatterns
) -> LabelledRows:
    """Rows whose image's path in the table no pattern of ``--ignore`` matches.

    ``names`` are the paths of all rows of the table.
    """
    left_out = [
        row.number
        for row in labelled.rows
        if ignore.match_within(names[row.number].replace("\\", "/"))
    ]
    ignored = set(left_out)
    kept = [row for row in labelled.rows if row.number not in ignored]
    unused = list(labelled.unused)
    if left_out:
        unused.append(Unused("rows left out by --ignore", len(left_out), names[left_out[0]]))
    return LabelledRows(kept, tuple(unused), labelled.notes)


def idle_notes(ignore: IgnorePatterns) -> list[str]:
    """Note for each pattern that has matched nothing."""
    return [f"--ignore {pattern!r} matches nothing." for pattern in ignore.idle]


def without_repeats(
    paths: Sequence[Path], kept: Sequence[LabelledRow], source: Path | str
) -> tuple[list[Row], list[Unused]]:
    """Rows of a listing with each image of a split once, and the rows that repeat an image.

    Raises `DataError` if an image has several labels.
    """
    labels: dict[Path, str] = {}
    rows: dict[tuple[Path, SplitName | None], Row] = {}
    repeated: list[str] = []
    clashes: dict[str, str] = {}
    for path, row in zip(paths, kept, strict=True):
        if labels.setdefault(path, row.label) != row.label:
            both = f"{shorten(labels[path])!r} and {shorten(row.label)!r}"
            clashes.setdefault(str(path), f"{path.name} ({both})")
        elif (path, row.split) in rows:
            repeated.append(path.name)
        else:
            rows[path, row.split] = Row(path, row.label, row.split, row.group)
    if clashes:
        raise DataError(
            f"{source} gives {counted(len(clashes), 'image')} several labels, such as "
            f"{next(iter(clashes.values()))}; give each image one label, or leave it out with "
            "--ignore."
        )
    reason = "rows that repeat an image with the same label"
    unused = [Unused(reason, len(repeated), repeated[0])] if repeated else []
    return list(rows.values()), unused


def sum_unused(unused: Sequence[Unused]) -> tuple[Unused, ...]:
    """What several tables of one source do not use: their rows in total, their columns once."""
    by_reason: dict[str, Unused] = {}
    for item in unused:
        known = by_reason.get(item.reason, replace(item, count=0))
        is_rows = "rows" in item.reason
        count = known.count + item.count if is_rows else max(known.count, item.count)
        by_reason[item.reason] = replace(known, count=count)
    return tuple(by_reason.values())


def describe_columns(columns: Columns) -> str:
    """Use of a table's columns in words."""
    labels = f"one-hot columns {name_some(columns.one_hot)}" if columns.one_hot else columns.label
    text = f"images: {columns.image}, labels: {labels}"
    text += f", splits: {' and '.join(columns.splits)}" if columns.splits else ""
    return text + (f", groups: {columns.group}" if columns.group else "")


def _image_name(table: Table, column: str, number: int) -> str:
    """Name of a row's image for a message."""
    if column in table.embedded:
        return f"row {number + 1}"
    return table.texts(column)[number]


def _splits(
    table: Table, columns: Sequence[str], eval_is: Literal["val", "test"], source: Path | str
) -> tuple[list[SplitName | None], list[str]]:
    """Split of each row, and notes on how the splits were read."""
    if not columns:
        return [None] * len(table.frame), []
    flags = {flag_split(name): split_flag_values(table.texts(name)) for name in columns}
    known = {split: values for split, values in flags.items() if split and values is not None}
    if known:
        return _splits_of_flags(known, columns, eval_is, source)
    values = table.texts(columns[0])
    splits = [split_name(value, eval_is) for value in values]
    unknown = {value for value, split in zip(values, splits, strict=True) if split is None}
    if unknown:
        shown = name_some([repr(shorten(value)) for value in sorted(unknown, key=natural_key)])
        raise DataError(f"{source} has the splits {shown}; call them train, val and test.")
    return splits, eval_notes(values, eval_is)


def _splits_of_flags(
    flags: Mapping[SplitName, Sequence[bool]],
    columns: Sequence[str],
    eval_is: Literal["val", "test"],
    source: Path | str,
) -> tuple[list[SplitName | None], list[str]]:
    """Split of each row by the flags of ``columns``, and a note if one had to be guessed.

    Rows without a True flag are those of the split that no flag has. If that may be several, they
    are train, have no split if test is known, or are ``eval_is`` if train is known.
    """
    rows = [list(compress(flags, row)) for row in zip(*flags.values(), strict=True)]
    for what, wrong in (
        ("more than one", [k for k, row in enumerate(rows) if len(row) > 1]),
        ("none", [k for k, row in enumerate(rows) if not row and len(flags) == len(SPLITS)]),
    ):
        if wrong:
            raise DataError(
                f"{source} has {counted(len(wrong), 'row')} in which {what} of "
                f"{name_some(columns)} is true, such as row {wrong[0] + 1}; give each row one "
                "split."
            )
    notes = []
    rest: SplitName | None = next((split for split in SPLITS if split not in flags), None)
    if set(flags) == {"test"}:
        rest = None
    elif set(flags) == {"train"} and not all(rows):
        rest, other = eval_is, "test" if eval_is == "val" else "val"
        notes = [
            f"Rows that are not {columns[0]} were read as {rest}; --split.eval-is {other} reads "
            f"them as {other}."
        ]
    return [row[0] if row else rest for row in rows], notes


def _labels(table: Table, columns: Columns, source: Path | str) -> list[str]:
    """Label of each row; empty where it is missing. Raises `DataError` if labels are lists."""
    if columns.label is None:
        return _one_hot_labels(table, columns.one_hot, source)
    values = table.frame[columns.label].tolist()
    if lists := [value for value in values if hasattr(value, "__len__") and type(value) is not str]:
        raise DataError(
            f"The column {columns.label!r} of {source} holds lists, such as "
            f"{shorten(str(lists[0]))}; give each image one label."
        )
    labels = table.texts(columns.label)
    _refuse_joined_labels(labels, columns.label, source)
    return labels


def _refuse_joined_labels(labels: Sequence[str], column: str, source: Path | str) -> None:
    """Raise `DataError` if a label joins other labels, as "cat|dog" does beside cat and dog."""
    known = set(labels)
    for label in sorted(known, key=natural_key):
        for separator in _LABEL_SEPARATORS:
            parts = [part.strip() for part in label.split(separator)]
            if len(parts) > 1 and known.issuperset(parts) and "" not in parts:
                raise DataError(
                    f"The column {column!r} of {source} gives {labels.count(label)} rows the label "
                    f"{shorten(label)!r}, which joins labels of other rows; give each image one "
                    "label, or rename that class."
                )


def _one_hot_labels(table: Table, one_hot: Sequence[str], source: Path | str) -> list[str]:
    """Name of the column that holds 1, row by row. Raises `DataError` if there is not just one."""
    flags = [flag_values(table.texts(name)) or [] for name in one_hot]
    rows = list(zip(*flags, strict=True))
    for what, wrong in (
        ("several classes", [k for k, row in enumerate(rows) if sum(row) > 1]),
        ("no class", [k for k, row in enumerate(rows) if not any(row)]),
    ):
        if wrong:
            raise DataError(
                f"{len(wrong)} of the {len(rows)} rows of {source} have {what} among the columns "
                f"{name_some(one_hot)}, such as row {wrong[0] + 1}; give each image one class, or "
                "name the column of the labels with --label-column."
            )
    return [one_hot[row.index(True)] for row in rows]
