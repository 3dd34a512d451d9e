"""Faults of a survey, by the truth about its images; and a survey in a few words."""

import hashlib
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.reading_case import Case, Truth
from trainables.data import Survey
from trainables.images import read_image_file, read_rgb
from trainables.listing import SPLITS

_DARK = 20
"""Smallest standard deviation of decoded noise, of 255; below it, the contrast has been lost."""
_STORES = {".parquet", ".arrow", ".tar"}
"""Suffixes of files that hold images and are no images themselves."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a survey."""

    text: str
    silent: bool = True
    """Whether nothing that the survey says tells of it."""


def faults_of(case: Case, survey: Survey, truth: Truth, folder: Path) -> list[Fault]:
    """Everything in which the survey of a case differs from the truth."""
    truth = {_real(path): use for path, use in truth.items()}
    used = _used(survey, truth, folder / "cache")
    faults = [Fault("it was read, and should not have been")] if case.answer == "ask" else []
    faults += _wrong_labels(used, truth, any_name="--merge-labels" in case.words)
    faults += _wrong_splits(used, truth)
    faults += _parted_groups(used, truth)
    faults += [Fault(f"{path.name} was used") for path in used if path not in truth]
    faults += _lost_contrast(used, truth)
    faults += _left_out(survey, used, truth)
    faults += _not_accounted(survey, used, (folder / case.words.split()[0]).resolve())
    return faults


def in_words(survey: Survey) -> str:
    """The layout, the images of each class and split, and all that was left out or noted."""
    counts = {split: survey.dataset.counts(split) for split in SPLITS}
    parts = [survey.kind]
    parts += [
        f"{split}: " + ", ".join(f"{label} {n}" for label, n in by_class.items() if n)
        for split, by_class in counts.items()
    ]
    parts += [f"not used: {u.count} {u.reason} ({u.example})" for u in survey.unused]
    parts += list(survey.notes)
    parts += [f"{issue.kind}: {issue.path}: {issue.reason}" for issue in survey.issues[:3]]
    if len(survey.issues) > 3:
        parts.append(f"and {len(survey.issues) - 3} more")
    return "; ".join(part.rstrip(".") for part in parts)


def all_words(survey: Survey) -> str:
    """Everything that a survey says besides the counts of its images."""
    unused = [f"{u.reason} {u.example}" for u in survey.unused]
    issues = [f"{issue.path} {issue.reason}" for issue in survey.issues]
    parts = [survey.kind, survey.split_description, *unused, *survey.notes, *issues]
    return "\n".join(parts)


_Used = dict[Path, list[tuple[str, str]]]
"""Label and split of every image in a survey, by the image's real path."""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _used(survey: Survey, truth: Truth, cache: Path) -> _Used:
    """The images of a survey. Those inside a table, or extracted from it, go by their bytes."""
    by_content = {_digest(path): path for path in truth}
    used: _Used = defaultdict(list)
    dataset = survey.dataset
    for row in range(len(dataset)):
        path = _real(dataset.file(row))
        is_inside = path not in truth and not path.is_file()
        if is_inside or path.is_relative_to(_real(cache)):
            path = by_content.get(_digest(path), path)
        label = dataset.classes[int(dataset.labels[row])]
        used[path].append((label, str(dataset.splits[row])))
    return used


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(read_image_file(path)).hexdigest()
    except OSError:
        return str(path)


def _wrong_labels(used: _Used, truth: Truth, *, any_name: bool) -> Iterator[Fault]:
    """Labels that are wrong. With ``any_name``, a label may have another name for all its images.

    Labels are compared in one form of accents.
    """
    read: dict[str, set[str]] = defaultdict(set)
    for path, entries in used.items():
        if path in truth:
            true = unicodedata.normalize("NFC", truth[path].label)
            read[true] |= {unicodedata.normalize("NFC", label) for label, _ in entries}
    names = [label for labels in read.values() for label in labels]
    if any_name and len(names) == len(set(names)) == len(read):
        return
    for true, labels in read.items():
        if labels != {true}:
            yield Fault(f"{true} was read as {' and '.join(sorted(labels))}")


def _wrong_splits(used: _Used, truth: Truth) -> Iterator[Fault]:
    """Images in a split other than the given one. A split that is not given comes from train."""
    given = {use.split for use in truth.values()}
    pairs = Counter(
        (truth[path].split, split)
        for path, entries in used.items()
        for _, split in entries
        if path in truth and truth[path].split not in (None, split)
    )
    for (true, split), count in pairs.items():
        if true != "train" or split in given:
            yield Fault(f"{count} images of {true} are in {split}")


def _parted_groups(used: _Used, truth: Truth) -> Iterator[Fault]:
    splits: dict[str, set[str]] = defaultdict(set)
    for path, entries in used.items():
        if path in truth and truth[path].group:
            splits[truth[path].group] |= {split for _, split in entries}
    parted = [group for group, names in splits.items() if len(names) > 1]
    if parted:
        yield Fault(f"{len(parted)} groups lie in several splits, such as {parted[0]}")


def _lost_contrast(used: _Used, truth: Truth) -> Iterator[Fault]:
    for path in [path for path in used if path in truth and truth[path].needed][:3]:
        deviation = float(np.std(np.asarray(read_rgb(path))))
        if deviation < _DARK:
            yield Fault(f"{path.name} has lost its contrast ({deviation:.0f} of 255)")


def _left_out(survey: Survey, used: _Used, truth: Truth) -> Iterator[Fault]:
    """Images that should be used and are not; said or not."""
    words = all_words(survey)
    for path, use in truth.items():
        if path not in used:
            said = path.name in words
            if use.needed or not said:
                yield Fault(f"{path.parent.name}/{path.name} was not used", silent=not said)


def _not_accounted(survey: Survey, used: _Used, data: Path) -> Iterator[Fault]:
    """Files in a folder that are not used, and of which nothing is said."""
    if not data.is_dir() or any(path.suffix in _STORES for path in data.rglob("*")):
        return
    left = [p for p in data.rglob("*") if not p.is_dir() and _real(p) not in used]
    said = all_words(survey)
    bad = {issue.path for issue in survey.issues if issue.kind == "bad"}
    unnamed = [p for p in left if str(p.relative_to(data)) not in bad and p.name not in said]
    examples = [data / unused.example for unused in survey.unused]
    for path in unnamed:
        if not any(_speaks_of(example, path, data) for example in examples):
            yield Fault(f"nothing is said of {path.relative_to(data)}")
    counted = sum(
        max(unused.count, sum(path.is_relative_to(example) for path in left))
        for unused, example in zip(survey.unused, examples, strict=True)
    )
    shown = [path for path in unnamed if not _is_hidden(path, data)]
    if len(shown) > counted:
        yield Fault(f"{len(left)} files are not used, and {counted} are counted")


def _speaks_of(example: Path, path: Path, data: Path) -> bool:
    """Whether an example stands for a file: of its folder or kind, or a folder above it."""
    if path.is_relative_to(example) or example.parent == path.parent:
        return True
    if _is_hidden(path, data):
        return _is_hidden(example, data)
    return example.suffix.lower() == path.suffix.lower() != ""


def _is_hidden(path: Path, data: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.relative_to(data).parts)
