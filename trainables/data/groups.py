"""Groups of images that belong together, such as those of one patient, and proposals of groups."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from spaces import DataError
from trainables.listing import ReadOptions, Row, relative_path

_NAME_PATTERNS = (
    r"(?:^|/)([^/0-9]*[0-9][^/]*)[ _-]\(?[0-9]+\)?\.[^./]+$",  # patient12_003.png, IMG7 (2).png
    r"(?:^|/)([A-Za-z]*[_-]?[0-9]+)[ _-][^/]*$",  # 17_frontal.jpg, S01-left.png
)
"""File names that suggest groups. The first group of the expression names the group of images."""
_MIN_FITTING_SHARE = 0.95
"""Least share of the file names that a proposed expression has to fit."""
_MIN_IMAGES_PER_GROUP = 2.0
"""Least average number of images in a proposed group."""


def groups_of_rows(rows: Sequence[Row], root: Path, options: ReadOptions) -> list[str | None]:
    """Group of each row: by its path if ``options.group_by`` is set, else as the source gives it.

    Raises `DataError` as `groups_by_path` does.
    """
    if options.group_by is None:
        return [row.group for row in rows]
    paths = [Path(relative_path(row.path, root)).as_posix() for row in rows]
    return groups_by_path(paths, options.group_by)


def groups_by_path(paths: Sequence[str], pattern: str) -> list[str | None]:
    """Group of each relative path: the match of ``pattern``, or its first group if it has one.

    A path without a match, or with an empty one, has no group. Raises `DataError` if the expression
    is malformed or no path has a group.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"group_by is {pattern!r}, which is no regular expression ({error}); "
            r"give one such as '(patient[0-9]+)_'."
        ) from None
    which = 1 if expression.groups else 0
    groups = [(match[which] or None) if match else None for match in map(expression.search, paths)]
    if paths and not any(groups):
        raise DataError(
            f"group_by is {pattern!r}, which matches none of the {len(paths)} paths, such as "
            f"{paths[0]}; correct the expression or leave it out."
        )
    return groups


def group_proposal(paths: Sequence[str], classes: int) -> str | None:
    """Note that proposes ``--group-by``, if the names of nearly all files suggest groups.

    The groups must hold two images or more on average, and be more than the classes, because a
    file's name often begins with its class.
    """
    for pattern in _NAME_PATTERNS:
        expression = re.compile(pattern)
        named = [match[1] for path in paths if (match := expression.search(path))]
        groups = Counter(named)
        fits = len(named) >= _MIN_FITTING_SHARE * len(paths)
        if fits and classes < len(groups) <= len(named) / _MIN_IMAGES_PER_GROUP:
            return (
                f"The file names suggest {len(groups)} groups with "
                f"{len(named) / len(groups):.1f} images each, such as {min(groups)!r}. If the "
                f"images of a group show one thing, keep them in one split with "
                f"--group-by '{pattern}'."
            )
    return None
