"""`survey_images`: list, open and split the images of a source; say what was found."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from spaces import DataError
from trainables.data.dataset import Dataset
from trainables.data.listing import SPLITS, Listing, Row, SplitName, natural_key, only_one_class
from trainables.data.pixel_store import PixelFormat, Staged
from trainables.data.scan import Opened, open_all
from trainables.data.sources import read_source
from trainables.progress import Progress, no_progress

MAX_UNREADABLE = 0.1
"""More unreadable images than this share are refused."""


@dataclass(frozen=True)
class Suspect:
    """An image somebody should look at: left out ("bad") or kept ("odd")."""

    path: str
    kind: Literal["bad", "odd"]
    reason: str


@dataclass(frozen=True)
class Survey:
    """A dataset and how it came to be: what `finesweep plan` shows."""

    dataset: Dataset
    kind: str
    split_made: str
    """How the split was made, in words."""
    ignored: dict[str, int]
    notes: tuple[str, ...]
    suspects: tuple[Suspect, ...]
    """Images that were left out, and images that look odd."""


def survey_images(
    data: Path | str,
    *,
    cache: Path,
    val_fraction: float = 0.15,
    test_fraction: float = 0.15,
    seed: int = 0,
    eval_is: Literal["val", "test"] = "val",
    forms: Sequence[PixelFormat] = (),
    staged: Staged | None = None,
    progress: Progress = no_progress,
) -> Survey:
    """List, open and split the images of ``data``; a string is an address in an object store.

    Every image is decoded once, and put into ``staged`` in each of ``forms``; those that can't be
    are left out. A split that is not given is drawn by ``seed``, stratified by class; images with
    the same bytes stay in one split.

    Raises `DataError`.
    """
    listing = read_source(data, cache=cache, eval_is=eval_is, progress=progress)
    opened = open_all(
        [row.path for row in listing.rows],
        cache=cache,
        forms=forms,
        staged=staged,
        progress=progress,
    )
    kept: list[tuple[Row, Opened]] = []
    suspects: list[Suspect] = []
    for row, image in zip(listing.rows, opened, strict=True):
        if image.error:
            suspects.append(Suspect(_relative(row.path, listing.root), "bad", image.error))
        else:
            kept.append((row, image))
            if image.oddity:
                suspects.append(Suspect(_relative(row.path, listing.root), "odd", image.oddity))
    _refuse_too_many_bad(listing, suspects)

    kept, crossing = _drop_crossing(kept)
    suspects += [
        Suspect(_relative(row.path, listing.root), "bad", reason) for row, reason in crossing
    ]
    suspects += _conflicts(kept, listing.root)
    classes = _class_map(listing, kept)
    splits, made = _split(kept, val_fraction, test_fraction, seed)

    paths = tuple(_relative(row.path, listing.root) for row, _ in kept)
    number = {name: k for k, name in enumerate(classes)}
    labels = np.array([number[row.label] for row, _ in kept], dtype=np.int64)
    seal = hashlib.blake2b(digest_size=12)
    for (row, image), split in sorted(
        zip(kept, splits, strict=True),
        key=lambda item: (item[0][1].digest, item[1], item[0][0].label),
    ):
        seal.update(f"{image.digest}\0{row.label}\0{split}\n".encode())
    dataset = Dataset(
        root=listing.root,
        classes=classes,
        paths=paths,
        labels=labels,
        splits=np.array(splits, dtype=str),
        digests=tuple(image.digest for _, image in kept),
        fingerprint=seal.hexdigest(),
    )
    _refuse_missing(dataset)
    return Survey(dataset, listing.kind, made, listing.ignored, listing.notes, tuple(suspects))


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _refuse_too_many_bad(listing: Listing, suspects: Sequence[Suspect]) -> None:
    bad = [s for s in suspects if s.kind == "bad"]
    if len(bad) > MAX_UNREADABLE * len(listing.rows):
        first = ", ".join(f"{s.path} ({s.reason})" for s in bad[:3])
        raise DataError(
            f"{len(bad)} of {len(listing.rows)} images can't be read, more than "
            f"{MAX_UNREADABLE:.0%}; mend or remove them, the first are {first}."
        )


def _drop_crossing(
    kept: list[tuple[Row, Opened]],
) -> tuple[list[tuple[Row, Opened]], list[tuple[Row, str]]]:
    """Of equal images given to different splits, keep those in the split nearest to the test."""
    rank = {"test": 0, "val": 1, "train": 2, None: 3}
    home: dict[str, SplitName | None] = {}
    for row, image in kept:
        home[image.digest] = min(home.get(image.digest), row.split, key=rank.__getitem__)
    stay = [(row, image) for row, image in kept if row.split == home[image.digest]]
    gone = [
        (row, f"same bytes as an image of {home[image.digest]}, left out of {row.split}")
        for row, image in kept
        if row.split != home[image.digest]
    ]
    return stay, gone


def _conflicts(kept: Sequence[tuple[Row, Opened]], root: Path) -> list[Suspect]:
    """Copies: the same bytes under two labels, or several times under one."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row, image in kept:
        groups[image.digest].append(row)
    suspects = []
    for rows in groups.values():
        labels = sorted({row.label for row in rows}, key=natural_key)
        for row in rows[1:] if len(labels) == 1 else rows:
            reason = f"same bytes as {_relative(rows[0].path, root)}"
            if len(labels) > 1:
                reason = f"the same bytes are labelled {' and '.join(labels)}"
            suspects.append(Suspect(_relative(row.path, root), "odd", reason))
    return suspects


def _class_map(listing: Listing, kept: Sequence[tuple[Row, Opened]]) -> tuple[str, ...]:
    """Class names in natural order, from train if splits were given. Raises `DataError`."""
    by_split: Mapping[SplitName | None, set[str]] = defaultdict(set)
    for row, _ in kept:
        by_split[row.split].add(row.label)
    listed = {row.label for row in listing.rows}
    classes = by_split["train"] if "train" in by_split else by_split[None]
    if emptied := sorted(listed - set().union(*by_split.values()), key=natural_key):
        raise DataError(
            f"No readable image is left of class {', '.join(emptied)}; mend its files or remove it."
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
        raise only_one_class(", ".join(classes))
    return tuple(sorted(classes, key=natural_key))


def _refuse_missing(dataset: Dataset) -> None:
    """Copies lie where the first label's images do, and may be all that another class has."""
    for split in SPLITS:
        for name, images in dataset.counts(split).items():
            if images == 0:
                raise DataError(
                    f"Class {name!r} has no image in {split}: those it has are copies of another "
                    "class's; give each image one label, or remove the class."
                )


def _split(
    kept: Sequence[tuple[Row, Opened]], val_fraction: float, test_fraction: float, seed: int
) -> tuple[list[SplitName], str]:
    """The split of each image, and in words how it was made. Raises `DataError`."""
    given: list[SplitName | None] = [row.split for row, _ in kept]
    if given and None not in given and set(given) == set(SPLITS):
        return [s for s in given if s], "as given"
    source: SplitName | None = None if None in given else "train"
    fractions: dict[SplitName, float] = {}
    for name, fraction in (("test", test_fraction), ("val", val_fraction)):
        if name not in given:
            fractions[name] = fraction  # type: ignore[index]
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    first_label: dict[str, str] = {}
    for i, (row, image) in enumerate(kept):
        if row.split == source:
            label = first_label.setdefault(image.digest, row.label)
            groups[label][image.digest].append(i)
    splits: list[SplitName] = [split or "train" for split in given]
    for label in sorted(groups):
        digests = sorted(groups[label])
        if len(digests) < len(fractions) + 1:
            raise DataError(
                f"Class {label!r} has {len(digests)} different images to be split into "
                f"{', '.join(['train', *fractions])}; add images or remove the class."
            )
        np.random.default_rng([seed, *label.encode()]).shuffle(digests)
        for name, fraction in fractions.items():
            count = max(1, round(fraction * len(groups[label])))
            for digest in digests[:count]:
                for i in groups[label][digest]:
                    splits[i] = name
            digests = digests[count:]
        if not digests:
            raise DataError(
                f"Class {label!r} has {len(groups[label])} different images and none would be "
                "left for train; add images or lower split.val_fraction and split.test_fraction."
            )
    drawn = " and ".join(f"{name} {fraction:.0%}" for name, fraction in fractions.items())
    origin = "all images" if source is None else "the given train images"
    return splits, f"{drawn} of {origin}, stratified by class, seed {seed}"
