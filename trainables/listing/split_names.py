"""Names of split folders and of container folders, in all usual spellings."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from trainables.listing.listing import SplitName, split_name

_CONTAINERS = {
    *("annotation", "annotations", "archive", "data", "dataset", "datasets", "examples", "files"),
    *("folder", "folders", "gt", "image", "images", "img", "imgs", "jpeg", "jpegimages", "jpg"),
    *("labels", "masks", "photo", "photos", "pic", "pics", "picture", "pictures", "png"),
    *("samples", "set", "split", "splits", "test", "testing", "train", "training", "val"),
    *("validation",),
}
"""Words that name what holds data, and not a class, in lower case."""

_AFFIXES = {
    *("data", "dataset", "files", "folder", "image", "images", "img", "imgs", "photos", "pictures"),
    *("samples", "set", "split", "x"),
}
"""Words beside a split's own word in the name of a folder, such as "set" in "Training_Set"."""

_SPELLINGS = {
    "trn": "train",
    "validate": "val",
    "validating": "val",
    "development": "val",
    "evaluation": "eval",
    "heldout": "test",
    "tests": "test",
    "tst": "test",
}
"""Spellings that `split_name` does not know, each with one that it knows."""


def name_words(name: str) -> tuple[str, ...]:
    """Words of a name in lower case, without digits: "TrainingSet_2017" is ("training", "set")."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(word.lower() for word in re.split(r"[\W\d_]+", spaced) if word)


def is_container(name: str) -> bool:
    """Whether a name is that of a folder that holds data, such as "images_001" or "Dataset B"."""
    words = name_words(name)
    named = [word for word in words if len(word) > 1]
    return bool(named) and all(word in _CONTAINERS for word in named)


def folder_splits(
    names: Iterable[str], eval_is: Literal["val", "test"]
) -> dict[str, SplitName | None]:
    """Split that each of the folders beside one another is, or None, in the order of ``names``.

    "Training_Set", "val2017" and "x_train" are splits by themselves. Names with other words in them
    are splits together: "seg_train" beside "seg_test", but not "train_station" beside "bus_stop".
    """
    splits = {name: _usual_split(name_words(name), eval_is) for name in names}
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


def _usual_split(words: tuple[str, ...], eval_is: Literal["val", "test"]) -> SplitName | None:
    """Split that the words of a name stand for, if all other words are usual beside a split."""
    joined = "".join(words)
    for affix in ("", *sorted(_AFFIXES, key=len)):
        for rest in (joined.removeprefix(affix), joined.removesuffix(affix)):
            if split := _split_of_word(rest, eval_is):
                return split
    named = [word for word in words if word not in _AFFIXES]
    return _split_of_word("".join(named), eval_is)


def _split_of_word(word: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    return split_name(_SPELLINGS.get(word, word), eval_is)
