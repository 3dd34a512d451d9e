"""Labels in the names of files: "cat_001.jpg" begins with one, and "001_cat.jpg" ends with one."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from trainables.images import IMAGE_SUFFIXES
from trainables.listing import is_container, name_words

_WORDS = r"[^\W\d_]+(?:[ _-]+[^\W\d_]+)*"
_PREFIX = re.compile(rf"({_WORDS})[ _\-.(]*\d.*")
_SUFFIX = re.compile(rf".*\d[ _\-.)]*({_WORDS})")
_NUMBERED = re.compile(rf"({_WORDS})([ _\-]*\d)[ _\-.(]+.*\d.*")
"""Label with a digit of its own, before the number of the image: "stage1_001"."""
_CAMERA_WORDS = {
    *("camera", "capture", "download", "dsc", "dscf", "dscn", "frame", "img", "image", "jpg"),
    *("nr", "photo", "pic", "picture", "pxl", "scan", "screenshot", "shot", "untitled"),
    *("unnamed", "vid", "wp"),
}
"""Words that cameras and programs begin the names of files with, in lower case."""


def prefix_label(path: str) -> str | None:
    """Words before the first number in a file's name: "cat" of "cat_001.jpg" or "cat (1).jpg"."""
    match = _PREFIX.fullmatch(_stem(path))
    return match[1] if match else None


def suffix_label(path: str) -> str | None:
    """Words after the last number in a file's name: "cat" of "001_cat.jpg" or "001.cat"."""
    match = _SUFFIX.fullmatch(_stem(path))
    return match[1] if match else None


def numbered_labels(paths: Sequence[str]) -> list[str]:
    """Beginnings of names such as "stage1" and "stage2", which may be those of two classes.

    They are one label with different digits, each on two files or more, before another number.
    Empty if there are none: a label is left out if some of its files begin otherwise.
    """
    numbers: dict[str, Counter[str]] = defaultdict(Counter)
    for path in paths:
        match = _NUMBERED.fullmatch(_stem(path))
        numbers[prefix_label(path) or ""][match[2] if match else ""] += 1
    for label, counts in numbers.items():
        if len(counts) > 1 and "" not in counts and min(counts.values()) > 1:
            return sorted(label + number for number in counts)
    return []


def names_hold_labels(paths: Sequence[str], label_of: Callable[[str], str | None]) -> bool:
    """Whether the names of all files hold a label, and the labels look like classes.

    There are two labels or more, each on two files or more, and none is the word of a camera.
    """
    counts = Counter(label_of(path) for path in paths)
    return (
        len(counts) > 1
        and min(counts.values()) > 1
        and None not in counts
        and not any(_is_no_class(label) for label in counts if label)
    )


def _is_no_class(label: str) -> bool:
    return is_container(label) or bool(_CAMERA_WORDS.intersection(name_words(label)))


def _stem(path: str) -> str:
    """Name without the suffix of an image format; "subject01.happy" has none."""
    name = PurePosixPath(path)
    return name.stem if name.suffix.lower() in IMAGE_SUFFIXES else name.name
