"""Copies of images, exact and near: those across given splits, and those with several labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spaces import DataError
from trainables.data.scan_results import ScannedImage
from trainables.listing import Row, SplitName, natural_key, relative_path

ReadableImages = Sequence[tuple[Row, ScannedImage]]
"""Listed images that could be decoded, each with its scan result."""

_LEAKS: tuple[tuple[SplitName, SplitName], ...] = (
    ("test", "train"),
    ("test", "val"),
    ("val", "train"),
)
"""Pairs of splits of which the first should hold nothing that the second has."""


@dataclass(frozen=True)
class ImageIssue:
    """Problem with one image: "bad" if the image was left out, "odd" if it was kept."""

    path: str
    """Path of the image, relative to the dataset's root if it lies below the root."""
    kind: Literal["bad", "odd"]
    reason: str


def drop_copies_across_splits(
    readable: ReadableImages, root: Path
) -> tuple[ReadableImages, list[ImageIssue]]:
    """Keep the copies of an image in one given split only: test, else val, else train.

    Copies are images with the same pixels. Returns the remaining images, and an issue for each
    removed image.
    """
    rank = {"test": 0, "val": 1, "train": 2, None: 3}
    split_of: dict[str, SplitName | None] = {}
    for row, image in readable:
        split_of[image.pixels] = min(split_of.get(image.pixels), row.split, key=rank.__getitem__)
    kept = [(row, image) for row, image in readable if row.split == split_of[image.pixels]]
    kept_digests = {image.digest for _, image in kept}
    dropped = [
        ImageIssue(
            relative_path(row.path, root),
            "bad",
            f"same {'bytes' if image.digest in kept_digests else 'pixels'} as a "
            f"{split_of[image.pixels]} image, left out of {row.split or 'the other images'}",
        )
        for row, image in readable
        if row.split != split_of[image.pixels]
    ]
    return kept, dropped


def refuse_copied_classes(readable: ReadableImages, kept: ReadableImages) -> None:
    """Raise `DataError` if `drop_copies_across_splits` left a class without an image in a split.

    ``readable`` are the images before, and ``kept`` those after it.
    """
    left = {(row.label, row.split) for row, _ in kept}
    emptied = [(row, image) for row, image in readable if (row.label, row.split) not in left]
    if emptied:
        label, split = emptied[0][0].label, emptied[0][0].split
        pixels = {i.pixels for row, i in emptied if (row.label, row.split) == (label, split)}
        others = sorted({str(row.split) for row, image in kept if image.pixels in pixels})
        place = f"in {split}" if split else "without a split"
        raise DataError(
            f"All images of class {label!r} {place} are copies of {' and '.join(others)} images; "
            "remove them from one of the splits."
        )


def copy_issues(readable: ReadableImages, root: Path) -> list[ImageIssue]:
    """Issues for images with the same pixels, whether they have one label or several."""
    copies: dict[str, list[tuple[Row, ScannedImage]]] = defaultdict(list)
    for row, image in readable:
        copies[image.pixels].append((row, image))
    issues = []
    for members in (members for members in copies.values() if len(members) > 1):
        labels = sorted({row.label for row, _ in members}, key=natural_key)
        first = relative_path(members[0][0].path, root)
        same_bytes = len({image.digest for _, image in members}) == 1
        what = "bytes" if same_bytes else "pixels"
        for row, _ in members[1:] if len(labels) == 1 else members:
            reason = f"same {what} as {first}"
            if len(labels) > 1:
                reason = f"the same {what} are labelled {' and '.join(labels)}"
            issues.append(ImageIssue(relative_path(row.path, root), "odd", reason))
    return issues


def near_copy_issues(
    readable: ReadableImages, near_pairs: np.ndarray, root: Path
) -> list[ImageIssue]:
    """Issues for near copies with different labels, one for each image."""
    labels = np.unique([row.label for row, _ in readable], return_inverse=True)[1]
    differ = labels[near_pairs[:, 0]] != labels[near_pairs[:, 1]]
    partner: dict[int, int] = {}
    for a, b in near_pairs[differ].tolist():
        partner.setdefault(a, b)
        partner.setdefault(b, a)
    issues = []
    for image in sorted(partner):
        row, other = readable[image][0], readable[partner[image]][0]
        reason = (
            f"near copy of {relative_path(other.path, root)}: "
            f"labelled {row.label} here and {other.label} there"
        )
        issues.append(ImageIssue(relative_path(row.path, root), "odd", reason))
    return issues


def near_copy_notes(readable: ReadableImages, near_pairs: np.ndarray, root: Path) -> list[str]:
    """Notes on the number of near copies, and on given splits that share some."""
    if not len(near_pairs):
        return []
    first, second = (relative_path(readable[k][0].path, root) for k in near_pairs[0].tolist())
    notes = [
        f"{len(np.unique(near_pairs))} images have a near copy (turned, mirrored, resized, "
        f"recompressed or brightened), such as {first} and {second}; where splits or folds are "
        "drawn, near copies stay together."
    ]
    splits, components = splits_to_be(readable), component_numbers(len(readable), near_pairs)
    for split, other in _LEAKS:
        there = {components[k]: k for k, name in enumerate(splits) if name == other}
        shared = [k for k, name in enumerate(splits) if name == split and components[k] in there]
        if shared:
            examples = (shared[0], there[components[shared[0]]])
            first, second = (relative_path(readable[k][0].path, root) for k in examples)
            notes.append(
                f"{len(shared) / splits.count(split):.0%} of the {split} images ({len(shared)} of "
                f"{splits.count(split)}) have a near copy in {other}, such as {first} and "
                f"{second}; results on {split} will be too good. Move or remove them, or let the "
                "splits be drawn."
            )
    return notes


def splits_to_be(readable: ReadableImages) -> list[SplitName | None]:
    """Given split of each image; train, from which others are drawn, where only others are given.

    All are None if no split is given.
    """
    given = [row.split for row, _ in readable]
    return [split or "train" for split in given] if any(given) else given


def component_numbers(count: int, pairs: np.ndarray) -> list[int]:
    """Number of the component of each of ``count`` images that ``(m, 2)`` ``pairs`` connect."""
    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers: list[int] = connected_components(graph, directed=False)[1].tolist()
    return numbers
