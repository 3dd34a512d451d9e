"""Units of images that must stay in one split and one fold: copies, near copies and groups."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spaces.wording import counted
from trainables.data.copies import ReadableImages, component_numbers, splits_to_be
from trainables.data.groups import groups_of_rows
from trainables.data.near_copies import near_copies
from trainables.listing import SPLITS, ReadOptions, SplitName, natural_key


@dataclass(frozen=True)
class Units:
    """Unit of each image: a connected component of images that are copies or share a group."""

    names: tuple[str, ...]
    """Name of each image's unit: the least digest of its images."""
    near_pairs: np.ndarray
    """Pairs of near copies with different pixels, ``(m, 2)`` indices of images, ascending."""
    groups: tuple[str | None, ...]
    """Group of each image, as the user or the source gave it."""
    only_exact_copies: bool
    """Whether every unit consists of copies of one image, with the same pixels."""


def find_units(readable: ReadableImages, root: Path, options: ReadOptions) -> Units:
    """Find out which images belong together.

    Raises `DataError` if ``options.group_by`` does not fit the paths.
    """
    # 1. Copies by pixels.
    pixels = [image.pixels for _, image in readable]
    exact = _equal_pairs(pixels)
    # 2. Near copies, each distinct image compared once.
    _, first = np.unique(np.array(pixels), return_index=True)
    first.sort()
    near = first[near_copies([readable[k][1].appearance for k in first])]
    # 3. Groups.
    groups = groups_of_rows([row for row, _ in readable], root, options)
    related = np.concatenate([exact, near, _equal_pairs(groups)])
    # 4. Components.
    digests = [image.digest for _, image in readable]
    names = _component_names(digests, related)
    return Units(names, near, tuple(groups), names == _component_names(digests, exact))


def group_notes(readable: ReadableImages, units: Units) -> list[str]:
    """Notes on the number of groups, on images without one, and on groups in two given splits."""
    splits_of: dict[str, set[SplitName]] = defaultdict(set)
    for split, group in zip(splits_to_be(readable), units.groups, strict=True):
        if group is not None and split is not None:
            splits_of[group].add(split)
    groups = {group for group in units.groups if group is not None}
    alone = units.groups.count(None)
    notes = [
        f"{counted(len(groups), 'group')} of {(len(units.groups) - alone) / len(groups):.1f} "
        "images on average stay together where splits or folds are drawn"
        + (f"; {counted(alone, 'image')} without a group." if alone else ".")
    ]
    if shared := sorted((g for g in splits_of if len(splits_of[g]) > 1), key=natural_key):
        names = [split for split in SPLITS if split in splits_of[shared[0]]]
        notes.append(
            f"{len(shared)} of {len(groups)} groups have images in several of the given splits, "
            f"such as {shared[0]!r} in {' and '.join(names)}; results will be too good. Move "
            "their images into one split, or let the splits be drawn."
        )
    return notes


def _equal_pairs(values: Sequence[Hashable]) -> np.ndarray:
    """Pairs ``(m, 2)`` of the first index of each value and every later one; None equals none."""
    first: dict[Hashable, int] = {}
    pairs = []
    for k, value in enumerate(values):
        if value is not None and first.setdefault(value, k) != k:
            pairs.append([first[value], k])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _component_names(digests: Sequence[str], pairs: np.ndarray) -> tuple[str, ...]:
    """Least digest of each image's component, when ``pairs`` and equal digests are connected."""
    edges = np.concatenate([pairs, _equal_pairs(digests)])
    components = component_numbers(len(digests), edges)
    least: dict[int, str] = {}
    for digest, number in zip(digests, components, strict=True):
        least[number] = min(least.get(number, digest), digest)
    return tuple(least[number] for number in components)
