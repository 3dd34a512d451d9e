"""Names of splits and of container folders, in all usual spellings."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from trainables.listing.listing import SplitName

_CONTAINERS = {
    *("annotation", "annotations", "archive", "data", "dataset", "datasets", "examples", "files"),
    *("folder", "folders", "gt", "image", "images", "img", "imgs", "jpeg", "jpegimages", "jpg"),
    *("labels", "masks", "photo", "photos", "pic", "pics", "picture", "pictures", "png"),
    *("samples", "set", "split", "splits", "test", "testing", "train", "training", "val"),
    *("validation",),
}
"""Words that name what holds data, and not a class, in lower case."""

_PARTS = {"batch", "chunk", "fold", "part", "shard", "vol", "volume", "zip"}
"""Words for a part of a set that was cut into several, in lower case."""
_KINDS = {"category", "class", "grade", "label", "level", "stage", "type"}
"""Words for what images show, in lower case: a name with one of them may be that of a class."""

_AFFIXES = {
    *("data", "dataset", "files", "folder", "image", "images", "img", "imgs", "photos", "pictures"),
    *("samples", "set", "split", "x"),
}
"""Words beside a split's own word in the name of a folder, such as "set" in "Training_Set"."""

_SPELLINGS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validating", "validation"), "val"),
    **dict.fromkeys(("dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "holdout", "heldout"), "test"),
}
"""Split by a word that stands for it, in lower case."""
_EVAL = {"eval", "evaluation"}
"""Words for a split that may be val or test."""


def name_words(name: str) -> tuple[str, ...]:
    """Words of a name in lower case, without digits: "TrainingSet_2017" is ("training", "set")."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(word.lower() for word in re.split(r"[\W\d_]+", spaced) if word)


def is_container(name: str) -> bool:
    """Whether a name is that of a folder that holds data, such as "images_001" or "Dataset B"."""
    words = name_words(name)
    named = [word for word in words if len(word) > 1]
    return bool(named) and all(word in _CONTAINERS for word in named)


def are_parts(names: Iterable[str]) -> bool:
    """Whether the names of several folders are those of parts of one set, and not of classes.

    They then differ in numbers or single letters only, and a word of them says what they are:
    "images_part_1" and "images_part_2", but not "grade_1" and "grade_2".
    """
    alike = {tuple(word for word in name_words(name) if len(word) > 1) for name in names}
    words = set(next(iter(alike), ()))
    return len(alike) == 1 and bool(words & (_PARTS | _CONTAINERS)) and not words & _KINDS


def folder_splits(
    names: Iterable[str], eval_is: Literal["val", "test"]
) -> dict[str, SplitName | None]:
    """Split that each of the folders beside one another is, or None, in the order of ``names``.

    "Training_Set", "val2017" and "x_train" are splits by themselves. Names with other words in them
    are splits together: "seg_train" beside "seg_test", but not "train_station" beside "bus_stop".
    """
    splits = {name: split_name(name, eval_is) for name in names}
    alike: dict[tuple[str, ...], dict[str, SplitName]] = defaultdict(dict)
    for name, split in splits.items():
        words = name_words(name)
        found = [(word, s) for word in words if (s := _split_of_word(word, eval_is))]
        if split is None and len(found) == 1:
            rest = tuple(word for word in words if word != found[0][0])
            alike[rest][name] = found[0][1]
    for group in alike.values():
        if "train" in group.values() and len(set(group.values())) > 1:
            splits.update(group)
    return splits


def split_name(name: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    """Split that a folder's name or a table's value stands for; None if it names no split.

    The words beside the split's own one must be usual: "Training_Set" and "val2017" are splits, but
    "train_station" is none.
    """
    words = name_words(name)
    joined = "".join(words)
    for affix in ("", *sorted(_AFFIXES, key=len)):
        for rest in (joined.removeprefix(affix), joined.removesuffix(affix)):
            if split := _split_of_word(rest, eval_is):
                return split
    named = [word for word in words if word not in _AFFIXES]
    return _split_of_word("".join(named), eval_is)


def eval_notes(names: Iterable[str], eval_is: Literal["val", "test"]) -> list[str]:
    """Note on how a split called "eval" was read, and the flag that changes it, if there is one."""
    other: Literal["val", "test"] = "test" if eval_is == "val" else "val"
    if all(split_name(name, eval_is) == split_name(name, other) for name in set(names)):
        return []
    return [f'"eval" was read as {eval_is}; --split.eval-is {other} reads it as {other}.']


def _split_of_word(word: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    return eval_is if word in _EVAL else _SPELLINGS.get(word)
