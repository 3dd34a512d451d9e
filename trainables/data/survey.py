"""`survey_images`: list, decode and split the images of a data source, and report problems."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spaces import DataError
from trainables.data.dataset import Dataset
from trainables.data.listing import (
    SPLITS,
    Listing,
    ReadOptions,
    Row,
    SplitName,
    Unused,
    natural_key,
    single_class_error,
)
from trainables.data.pixel_store import StagedPixels
from trainables.data.scan import ScannedImage, scan_images
from trainables.data.sources import read_source
from trainables.progress import Progress, ignore_progress

MAX_UNREADABLE_SHARE = 0.1
"""Largest share of unreadable images that a survey tolerates."""

_ReadableImages = Sequence[tuple[Row, ScannedImage]]
"""Listed images that could be decoded, each with its scan result."""


@dataclass(frozen=True)
class SplitSpec:
    """Fractions and seed for drawing the splits that the source does not give."""

    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class ImageIssue:
    """Problem with one image: "bad" if the image was left out, "odd" if it was kept."""

    path: str
    """Path of the image, relative to the dataset's root if it lies below the root."""
    kind: Literal["bad", "odd"]
    reason: str


@dataclass(frozen=True)
class Survey:
    """A dataset, and how it was made from its source. `finesweep plan` shows this."""

    dataset: Dataset
    kind: str
    """Layout of the source, in words."""
    split_description: str
    """How the split was made, in words."""
    unused: tuple[Unused, ...]
    """Everything in the source that is not used."""
    notes: tuple[str, ...]
    """Ambiguities in the source, and how each was resolved."""
    issues: tuple[ImageIssue, ...]
    """Images that were left out, and images that look wrong."""


def survey_images(
    data: Path | str,
    *,
    cache: Path,
    options: ReadOptions = ReadOptions(),
    split: SplitSpec = SplitSpec(),
    staged: StagedPixels | None = None,
    progress: Progress = ignore_progress,
) -> Survey:
    """List, decode and split the images of ``data``, a path or an address as in `read_source`.

    Every image is decoded once and, if ``staged`` is given, added to it. Unreadable images are left
    out. A split that the source does not give is drawn at random, stratified by class. Images with
    the same bytes are never in two splits.

    Raises `DataError`.
    """
    # 1. List the images, and decode each one.
    listing = read_source(data, cache=cache, options=options, progress=progress)
    paths = [row.path for row in listing.rows]
    scanned = scan_images(paths, cache=cache, staged=staged, progress=progress)
    # 2. Leave out images that can't be read.
    readable, issues = _readable_images(listing, scanned)
    _refuse_too_many_unreadable(listing, issues)
    # 3. Leave out copies of an image that another given split has too. Report all other copies.
    readable, leaked = _drop_copies_across_splits(readable, listing.root)
    issues = [*issues, *leaked, *_copy_issues(readable, listing.root)]
    # 4. Number the classes, and assign each image to a split.
    classes = _class_names(listing, readable)
    splits, split_description = _assign_splits(readable, split)
    # 5. Assemble the dataset.
    dataset = _dataset(listing.root, classes, readable, splits)
    _refuse_empty_classes(dataset)
    return Survey(
        dataset, listing.kind, split_description, listing.unused, listing.notes, tuple(issues)
    )


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _readable_images(
    listing: Listing, scanned: Sequence[ScannedImage]
) -> tuple[_ReadableImages, list[ImageIssue]]:
    """Images that could be decoded, and the issues found in decoding."""
    readable: list[tuple[Row, ScannedImage]] = []
    issues: list[ImageIssue] = []
    for row, image in zip(listing.rows, scanned, strict=True):
        if image.error:
            issues.append(ImageIssue(_relative(row.path, listing.root), "bad", image.error))
        else:
            readable.append((row, image))
            if image.oddity:
                issues.append(ImageIssue(_relative(row.path, listing.root), "odd", image.oddity))
    return readable, issues


def _refuse_too_many_unreadable(listing: Listing, issues: Sequence[ImageIssue]) -> None:
    bad = [issue for issue in issues if issue.kind == "bad"]
    if len(bad) > MAX_UNREADABLE_SHARE * len(listing.rows):
        reasons = Counter(issue.reason for issue in bad).most_common(3)
        example = {issue.reason: issue.path for issue in reversed(bad)}
        first = ", ".join(f"{count} ({why}), such as {example[why]}" for why, count in reasons)
        raise DataError(
            f"{len(bad)} of {len(listing.rows)} images can't be read, more than "
            f"{MAX_UNREADABLE_SHARE:.0%}; repair or remove them. The reasons: {first}."
        )


def _drop_copies_across_splits(
    readable: _ReadableImages, root: Path
) -> tuple[_ReadableImages, list[ImageIssue]]:
    """Keep the copies of an image in one given split only: test, else val, else train.

    Returns the remaining images, and an issue for each removed image.
    """
    rank = {"test": 0, "val": 1, "train": 2, None: 3}
    split_of: dict[str, SplitName | None] = {}
    for row, image in readable:
        split_of[image.digest] = min(split_of.get(image.digest), row.split, key=rank.__getitem__)
    kept = [(row, image) for row, image in readable if row.split == split_of[image.digest]]
    dropped = [
        ImageIssue(
            _relative(row.path, root),
            "bad",
            f"same bytes as a {split_of[image.digest]} image, left out of {row.split}",
        )
        for row, image in readable
        if row.split != split_of[image.digest]
    ]
    return kept, dropped


def _copy_issues(readable: _ReadableImages, root: Path) -> list[ImageIssue]:
    """Issues for images with the same bytes, whether they have one label or several."""
    copies: dict[str, list[Row]] = defaultdict(list)
    for row, image in readable:
        copies[image.digest].append(row)
    issues = []
    for rows in copies.values():
        labels = sorted({row.label for row in rows}, key=natural_key)
        for row in rows[1:] if len(labels) == 1 else rows:
            reason = f"same bytes as {_relative(rows[0].path, root)}"
            if len(labels) > 1:
                reason = f"the same bytes are labelled {' and '.join(labels)}"
            issues.append(ImageIssue(_relative(row.path, root), "odd", reason))
    return issues


def _class_names(listing: Listing, readable: _ReadableImages) -> tuple[str, ...]:
    """Class names in natural order; those of train if the source gives splits.

    Raises `DataError` if a class has no readable image, if two given splits differ in their
    classes, or if there is only one class.
    """
    by_split: Mapping[SplitName | None, set[str]] = defaultdict(set)
    for row, _ in readable:
        by_split[row.split].add(row.label)
    listed = {row.label for row in listing.rows}
    classes = by_split["train"] if "train" in by_split else by_split[None]
    if emptied := sorted(listed - set().union(*by_split.values()), key=natural_key):
        raise DataError(
            f"Class {', '.join(emptied)} has no readable image; repair its files or remove it."
        )
    for split, names in by_split.items():
        extra, missing = names - classes, classes - names
        if extra or missing:
            parts = [f"{split} also has {', '.join(sorted(extra))}"] if extra else []
            parts += [f"{split} lacks {', '.join(sorted(missing))}"] if missing else []
            raise DataError(
                f"The classes of train and {split} differ: {'; '.join(parts)}; "
                "give every split the same classes."
            )
    if len(classes) < 2:
        raise single_class_error(", ".join(classes))
    return tuple(sorted(classes, key=natural_key))


def _assign_splits(readable: _ReadableImages, spec: SplitSpec) -> tuple[list[SplitName], str]:
    """Split of each image, and a description of how the split was made.

    Raises `DataError` if a class has too few images to be split.
    """
    given: list[SplitName | None] = [row.split for row, _ in readable]
    if given and None not in given and set(given) == set(SPLITS):
        return [name for name in given if name], "as given"
    source: SplitName | None = None if None in given else "train"
    wanted: tuple[tuple[SplitName, float], ...] = (
        ("test", spec.test_fraction),
        ("val", spec.val_fraction),
    )
    fractions = {name: fraction for name, fraction in wanted if name not in given}
    splits: list[SplitName] = [name or "train" for name in given]
    by_class = _positions_by_class(readable, source)
    for label in sorted(by_class):
        for name, positions in _draw_class(label, by_class[label], fractions, spec.seed).items():
            for position in positions:
                splits[position] = name
    drawn = " and ".join(f"{name} {fraction:.0%}" for name, fraction in fractions.items())
    origin = "all images" if source is None else "the given train images"
    return splits, f"{drawn} of {origin}, stratified by class, seed {spec.seed}"


def _positions_by_class(
    readable: _ReadableImages, source: SplitName | None
) -> dict[str, dict[str, list[int]]]:
    """Positions of the images whose given split is ``source``, by class and then by digest.

    Copies with different labels all count as the first copy's class, so that they stay together.
    """
    by_class: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    first_label: dict[str, str] = {}
    for position, (row, image) in enumerate(readable):
        if row.split == source:
            label = first_label.setdefault(image.digest, row.label)
            by_class[label][image.digest].append(position)
    return by_class


def _draw_class(
    label: str,
    copies: Mapping[str, Sequence[int]],
    fractions: Mapping[SplitName, float],
    seed: int,
) -> dict[SplitName, list[int]]:
    """Draw a class's images for each split in ``fractions``; the other images stay in train.

    ``copies`` maps the digest of each distinct image to the positions of its copies. Returns the
    drawn positions by split.
    """
    digests = sorted(copies)
    if len(digests) < len(fractions) + 1:
        raise DataError(
            f"Class {label!r} has {len(digests)} different images to be split into "
            f"{', '.join(['train', *fractions])}; add images or remove the class."
        )
    np.random.default_rng([seed, *label.encode()]).shuffle(digests)
    drawn: dict[SplitName, list[int]] = {}
    for name, fraction in fractions.items():
        count = max(1, round(fraction * len(copies)))
        drawn[name] = [position for digest in digests[:count] for position in copies[digest]]
        digests = digests[count:]
    if not digests:
        raise DataError(
            f"Class {label!r} has {len(copies)} different images and none would be "
            "left for train; add images or lower split.val_fraction and split.test_fraction."
        )
    return drawn


def _dataset(
    root: Path, classes: tuple[str, ...], readable: _ReadableImages, splits: Sequence[SplitName]
) -> Dataset:
    number = {name: k for k, name in enumerate(classes)}
    return Dataset(
        root=root,
        classes=classes,
        paths=tuple(_relative(row.path, root) for row, _ in readable),
        labels=np.array([number[row.label] for row, _ in readable], dtype=np.int64),
        splits=np.array(splits, dtype=str),
        digests=tuple(image.digest for _, image in readable),
        fingerprint=_fingerprint(readable, splits),
    )


def _fingerprint(readable: _ReadableImages, splits: Sequence[SplitName]) -> str:
    """Hash of every image's bytes, label and split; independent of file names and order."""
    facts = sorted(
        (image.digest, split, row.label)
        for (row, image), split in zip(readable, splits, strict=True)
    )
    content = hashlib.blake2b(digest_size=12)
    for digest, split, label in facts:
        content.update(f"{digest}\0{label}\0{split}\n".encode())
    return content.hexdigest()


def _refuse_empty_classes(dataset: Dataset) -> None:
    """Raise `DataError` if a class has no image in some split.

    Copies with two labels are split under the first label; the second may then have no images.
    """
    for split in SPLITS:
        for name, images in dataset.counts(split).items():
            if images == 0:
                raise DataError(
                    f"Class {name!r} has no image in {split}, because its images are copies of "
                    "another class's images; give each image one label, or remove the class."
                )
