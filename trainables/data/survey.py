"""`survey_images`: list, decode and split the images of a data source, and report problems."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spaces import DataError
from trainables.data.classes import class_names
from trainables.data.copies import (
    ImageIssue,
    ReadableImages,
    copy_issues,
    drop_copies_across_splits,
    near_copy_issues,
    near_copy_notes,
    refuse_copied_classes,
)
from trainables.data.dataset import Dataset
from trainables.data.groups import group_proposal
from trainables.data.scan import scan_images
from trainables.data.scan_results import ScannedImage
from trainables.data.sources import read_source
from trainables.data.split import assign_splits
from trainables.data.split_spec import SplitSpec
from trainables.data.staged_pixels import StagedPixels
from trainables.data.units import Units, find_units, group_notes
from trainables.listing import (
    SPLITS,
    Listing,
    ReadOptions,
    Row,
    SplitName,
    Unused,
    natural_key,
    relative_path,
)
from trainables.progress import Progress, ignore_progress

MAX_ELONGATION = 1.35
"""Longer side, divided by the shorter, above which an image counts as elongated: 4:3, with some
room for rounding. The random crops of ImageNet pretraining stretch images by as much."""
MAX_UNREADABLE_SHARE = 0.1
"""Largest share of unreadable images that a survey tolerates."""


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
    elongated: int
    """Number of the dataset's images that are wider or taller than 4:3: see `MAX_ELONGATION`."""


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
    out. A split that the source does not give is drawn at random, stratified by class, by units:
    copies, near copies and groups of images stay together. Images with the same pixels are never in
    two splits.

    Raises `DataError`, or `ConfigError` if an address is malformed.
    """
    listing = read_source(data, cache=cache, options=options, progress=progress)
    paths = [row.path for row in listing.rows]
    scanned = scan_images(paths, cache=cache, staged=staged, progress=progress)
    return survey_of(listing, scanned, options=options, split=split)


def survey_of(
    listing: Listing, scanned: Sequence[ScannedImage], *, options: ReadOptions, split: SplitSpec
) -> Survey:
    """Survey of listed images, with the scan result of each. Raises `DataError`."""
    # 1. Leave out images that can't be read.
    readable, issues = _readable_images(listing, scanned)
    _refuse_too_many_unreadable(listing, issues)
    _refuse_unreadable_classes(listing, readable)
    # 2. Leave out copies of an image that another given split has too. Report all other copies.
    kept, leaked = drop_copies_across_splits(readable, listing.root)
    refuse_copied_classes(readable, kept)
    readable = kept
    issues = [*issues, *leaked, *copy_issues(readable, listing.root)]
    # 3. Number the classes.
    classes = class_names(row for row, _ in readable)
    # 4. Find out which images belong together, and assign each image to a split.
    units = find_units(readable, listing.root, options)
    issues += near_copy_issues(readable, units.near_pairs, listing.root)
    splits, split_description = assign_splits(readable, units, split)
    # 5. Assemble the dataset.
    dataset = _dataset(listing.root, classes, readable, splits, units, split)
    _refuse_empty_classes(dataset)
    notes = (*listing.notes, *_notes_on_units(readable, units, dataset))
    return Survey(
        dataset=dataset,
        kind=listing.kind,
        split_description=split_description,
        unused=listing.unused,
        notes=notes,
        issues=tuple(issues),
        elongated=sum(image.elongation > MAX_ELONGATION for _, image in readable),
    )


def _notes_on_units(readable: ReadableImages, units: Units, dataset: Dataset) -> list[str]:
    """Notes on near copies and groups, or a proposal of groups."""
    notes = near_copy_notes(readable, units.near_pairs, dataset.root)
    if any(units.groups):
        return [*notes, *group_notes(readable, units)]
    proposal = group_proposal(dataset.paths, len(dataset.classes))
    return [*notes, proposal] if proposal else notes


def _readable_images(
    listing: Listing, scanned: Sequence[ScannedImage]
) -> tuple[ReadableImages, list[ImageIssue]]:
    """Images that could be decoded, and the issues found in decoding."""
    readable: list[tuple[Row, ScannedImage]] = []
    issues: list[ImageIssue] = []
    for row, image in zip(listing.rows, scanned, strict=True):
        if image.error:
            issues.append(ImageIssue(relative_path(row.path, listing.root), "bad", image.error))
        else:
            readable.append((row, image))
            if image.oddity:
                issues.append(
                    ImageIssue(relative_path(row.path, listing.root), "odd", image.oddity)
                )
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


def _refuse_unreadable_classes(listing: Listing, readable: ReadableImages) -> None:
    """Raise `DataError` if a class has no readable image, or none in a given split."""
    left = {(row.label, row.split) for row, _ in readable}
    emptied = [row for row in listing.rows if (row.label, row.split) not in left]
    if emptied:
        split = emptied[0].split
        names = sorted({row.label for row in emptied if row.split == split}, key=natural_key)
        raise DataError(
            f"Class {', '.join(names)} has no readable image{f' in {split}' if split else ''}; "
            "repair its files or remove it."
        )


def _dataset(
    root: Path,
    classes: tuple[str, ...],
    readable: ReadableImages,
    splits: Sequence[SplitName],
    units: Units,
    spec: SplitSpec,
) -> Dataset:
    number = {name: k for k, name in enumerate(classes)}
    return Dataset(
        root=root,
        classes=classes,
        paths=tuple(relative_path(row.path, root) for row, _ in readable),
        labels=np.array([number[row.label] for row, _ in readable], dtype=np.int64),
        splits=np.array(splits, dtype=str),
        digests=tuple(image.digest for _, image in readable),
        fingerprint=_fingerprint(readable, splits),
        units=units.names,
        val_is_drawn=spec.val_is_drawn([row.split for row, _ in readable]),
    )


def _fingerprint(readable: ReadableImages, splits: Sequence[SplitName]) -> str:
    """Hash of every image's bytes, label and split; independent of file names and order."""
    facts = sorted(
        (image.digest, split, row.label)
        for (row, image), split in zip(readable, splits, strict=True)
    )
    content = hashlib.blake2b(digest_size=12)
    for digest, split, label in facts:
        content.update(f"{digest}\0{label}\0{split}\n".encode(errors="surrogateescape"))
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
