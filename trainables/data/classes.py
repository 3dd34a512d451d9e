"""Class names: every given split must have the same ones."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from spaces import DataError
from spaces.wording import name_some
from trainables.listing import SPLITS, Row, SplitName, natural_key, single_class_error


def class_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """Class names in natural order; those of train if the source gives splits.

    Raises `DataError` if two given splits differ in their classes, if splits are given but none is
    train, or if there is only one class.
    """
    by_split: Mapping[SplitName | None, set[str]] = defaultdict(set)
    for row in rows:
        by_split[row.split].add(row.label)
    if by_split and not by_split.keys() & {"train", None}:
        given = " and ".join(split for split in SPLITS if split in by_split)
        raise DataError(
            f"All images are of {given}, and none is of train; add training images, or give the "
            "images without the names of splits, which are then drawn."
        )
    classes = by_split["train"] if "train" in by_split else by_split[None]
    for split, names in by_split.items():
        extra, missing = names - classes, classes - names
        if extra or missing:
            parts = [f"{split} also has {_some(extra)}"] if extra else []
            parts += [f"{split} lacks {_some(missing)}"] if missing else []
            raise DataError(
                f"The classes of train and {split} differ: {'; '.join(parts)}; "
                "give every split the same classes."
            )
    if len(classes) < 2:
        raise single_class_error(", ".join(classes))
    return tuple(sorted(classes, key=natural_key))


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names, key=natural_key)
    return name_some(ordered)
