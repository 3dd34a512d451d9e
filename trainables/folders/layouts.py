"""Layouts of a folder of images: what each would make of it, and what speaks against that.

Each layout is a function from a `Base` to a `Reading`, or to None if it can't be applied. A reading
with doubts is taken only if the user names its layout.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

from trainables.folders.name_labels import (
    names_hold_labels,
    numbered_labels,
    prefix_label,
    suffix_label,
)
from trainables.folders.tree import Folder
from trainables.listing import SplitName, are_parts, folder_splits, is_container, natural_key


class LabelledPath(NamedTuple):
    """Path of an image relative to the root of the tree, with its label and split."""

    path: str
    label: str
    split: SplitName | None


@dataclass(frozen=True)
class Base:
    """Folder that layouts are applied to, and its split folders."""

    folder: Folder
    parts: tuple[tuple[SplitName | None, Folder], ...]
    """Split folders, without the folders that wrap their content; the folder itself, with the
    split None, if it has none."""
    split_names: tuple[str, ...] = ()
    """Names of the split folders; empty if there are none."""
    eval_is: Literal["val", "test"] = "val"
    """Split that a folder called "eval" is."""

    @property
    def train_folders(self) -> tuple[Folder, ...]:
        """Folders that tell the classes: those of train if there are split folders."""
        return tuple(folder for split, folder in self.parts if split in (None, "train"))

    def class_folders(self) -> Iterator[tuple[Folder, SplitName | None]]:
        """Yield folders that hold images directly in each part, with the split of the part."""
        for split, part in self.parts:
            for folder in part.with_images:
                yield folder, split

    @property
    def is_split(self) -> bool:
        """Whether the folder has split folders."""
        return bool(self.split_names)


class Doubt(NamedTuple):
    """Reason against a reading that the user has not asked for."""

    reason: str
    folder: str = ""
    """Path of a folder without which there is no doubt; empty if there is none."""


@dataclass(frozen=True)
class Reading:
    """What a layout makes of a folder."""

    layout: str
    kind: str
    """Layout in words."""
    images: tuple[LabelledPath, ...]
    doubts: tuple[Doubt, ...] = ()

    @cached_property
    def labels(self) -> list[str]:
        """Different labels, in natural order."""
        return sorted({image.label for image in self.images}, key=natural_key)


Layout = Callable[[Base], Reading | None]


def class_folders(base: Base) -> Reading | None:
    """Read a folder per class. A class has all images below its folder."""
    if base.is_split or len(base.folder.with_images) < 2:
        return None
    return Reading("class-folders", "a folder per class", _by_outer(base), _doubts(base))


def split_class(base: Base) -> Reading | None:
    """Read split folders with a folder per class in each."""
    if not base.is_split or not any(folder.with_images for folder in base.train_folders):
        return None
    kind = "/".join(base.split_names) + " folders, a folder per class in each"
    return Reading("split-class", kind, _by_outer(base), _doubts(base))


def class_images(base: Base) -> Reading | None:
    """Read a folder per class, whose images lie in one folder such as "images"."""
    classes = [folder for folder, _ in base.class_folders()]
    inner = {child.name for folder in classes for child in folder.with_images}
    alike = all(len(c.with_images) == 1 and not c.images for c in classes)
    if len(classes) < 2 or not alike or not all(map(is_container, inner)):
        return None
    kind = f"a folder per class, and its images in {', '.join(sorted(inner, key=natural_key))}"
    kind = f"{'/'.join(base.split_names)} folders, {kind}" if base.is_split else kind
    return Reading("class-images", kind, _by_outer(base), _doubts(base))


def class_split(base: Base) -> Reading | None:
    """Read a folder per class, with split folders in each."""
    classes = base.folder.with_images
    if base.is_split or len(classes) < 2:
        return None
    images: list[LabelledPath] = []
    for folder in classes:
        splits = folder_splits([child.name for child in folder.with_images], base.eval_is)
        if "train" not in splits.values() or None in splits.values() or folder.images:
            return None
        for child in folder.with_images:
            split = splits[child.name]
            images += [LabelledPath(path, folder.name, split) for path in child.image_paths()]
    splits_of_classes = [child for folder in classes for child in folder.with_images]
    doubts = (*_container_doubts(classes), *_nested_doubts(splits_of_classes))
    return Reading(
        "class-split", "a folder per class, split folders in each", tuple(images), doubts
    )


def class_subclass(base: Base) -> Reading | None:
    """Read classes with subclasses: the outer folder is the label."""
    if not _is_nested(base):
        return None
    kind = "a folder per class, whose subfolders are not told apart"
    return Reading("class-subclass", kind, _by_outer(base), _doubts(base))


def subclass(base: Base) -> Reading | None:
    """Read classes with subclasses: the innermost folder is the label, wherever it lies."""
    return _by_inner_folder(base, "subclass", "the innermost folder is the class", _inner_name)


def class_path(base: Base) -> Reading | None:
    """Read classes with subclasses: the label is the path of both, such as "cat/persian"."""
    reading = _by_inner_folder(base, "class-path", "the path of folders is the class", _inner_path)
    by_name = subclass(base)
    return None if by_name and reading and by_name.labels == reading.labels else reading


def name_prefix(base: Base) -> Reading | None:
    """Read names of files that begin with the class, such as "cat_001.jpg"."""
    reading = _by_name(base, "name-prefix", "names of files begin with the class", prefix_label)
    numbered = numbered_labels([image.path for image in reading.images]) if reading else []
    if reading is None or not numbered:
        return reading
    doubt = (
        f"names that begin with {' and '.join(numbered[:2])} may be those of two classes (a table "
        "can tell them apart)"
    )
    return replace(reading, doubts=(Doubt(doubt),))


def name_suffix(base: Base) -> Reading | None:
    """Read names of files that end with the class, such as "001_cat.jpg"."""
    return _by_name(base, "name-suffix", "names of files end with the class", suffix_label)


LAYOUTS: dict[str, Layout] = {
    "class-images": class_images,
    "class-split": class_split,
    "class-subclass": class_subclass,
    "class-folders": class_folders,
    "split-class": split_class,
    "subclass": subclass,
    "class-path": class_path,
    "name-prefix": name_prefix,
    "name-suffix": name_suffix,
}
"""Layouts by name. Of two that label all images alike, the first is meant."""

TABLE_LAYOUT = "table"
"""Name of the layout of images that a table beside them lists."""


def apply_layouts(base: Base) -> list[Reading]:
    """Readings of all layouts that can be applied, each different from the others in its labels."""
    readings: dict[tuple[LabelledPath, ...], Reading] = {}
    for layout in LAYOUTS.values():
        reading = layout(base)
        if reading and reading.images not in readings:
            readings[reading.images] = reading
    return list(readings.values())


def _by_outer(base: Base) -> tuple[LabelledPath, ...]:
    """Images labelled by the outer folder, that of the class."""
    return tuple(
        LabelledPath(path, folder.name, split)
        for folder, split in base.class_folders()
        for path in folder.image_paths()
    )


def _by_inner_folder(
    base: Base, layout: str, kind: str, label_of: Callable[[Folder, str], str]
) -> Reading | None:
    if not _is_nested(base):
        return None
    images = tuple(
        LabelledPath(path, label_of(part, path), split)
        for split, part in base.parts
        for folder in part.with_images
        for path in folder.image_paths()
    )
    return Reading(layout, kind, images, _doubts(base))


def _inner_path(part: Folder, path: str) -> str:
    """Folders between ``part`` and an image, without innermost ones such as "images"."""
    below = path[len(part.path) + 1 :] if part.path else path
    folders = below.split("/")[:-1]
    while len(folders) > 1 and is_container(folders[-1]):
        folders.pop()
    return "/".join(folders)


def _inner_name(part: Folder, path: str) -> str:
    return _inner_path(part, path).rpartition("/")[2]


def _by_name(
    base: Base, layout: str, kind: str, label_of: Callable[[str], str | None]
) -> Reading | None:
    if not has_no_classes(base):
        return None
    named = [path for folder in base.train_folders for path in folder.image_paths()]
    if not names_hold_labels(named, label_of):
        return None
    images = tuple(
        LabelledPath(path, label, split)
        for split, part in base.parts
        for path in part.image_paths()
        if (label := label_of(path)) is not None
    )
    kind = f"{'/'.join(base.split_names)} folders, {kind}" if base.is_split else kind
    return Reading(layout, kind, images)


def has_no_classes(base: Base) -> bool:
    """Whether no folder is a class by its name: images lie in the parts or in "images" and such."""
    return all(
        folder is part or is_container(folder.name)
        for part in base.train_folders
        for folder in part.walk()
        if folder.image_count
    )


def _is_nested(base: Base) -> bool:
    return any(_has_subclasses(folder) for folder, _ in base.class_folders())


def _has_subclasses(folder: Folder) -> bool:
    """Whether two folders side by side with images lie in a class, at any depth."""
    return any(len(inner.with_images) > 1 for inner in folder.walk())


def _doubts(base: Base) -> tuple[Doubt, ...]:
    """Reasons why the folders of a base may not be its classes."""
    classes = [folder for folder, _ in base.class_folders()]
    doubts = list(_container_doubts(classes))
    names = [frozenset(child.name for child in folder.with_images) for folder in classes]
    if not base.is_split and len(names) > 1 and len(names[0]) > 1 and len(set(names)) == 1:
        reason = (
            f"the folders {', '.join(folder.name for folder in classes[:5])} have the same "
            "subfolders (if they are splits, call them train, val and test)"
        )
        doubts.append(Doubt(reason))
    else:
        doubts += _nested_doubts(classes)
    return tuple(doubts)


def _nested_doubts(folders: Sequence[Folder]) -> tuple[Doubt, ...]:
    for folder in folders:
        for inner in folder.walk():
            if len(inner.with_images) > 1:
                shown = ", ".join(child.name for child in inner.with_images[:3])
                reason = f"{inner.path} has several folders of its own ({shown})"
                return (Doubt(reason, inner.path),)
    return ()


def _container_doubts(classes: Sequence[Folder]) -> tuple[Doubt, ...]:
    names = list(dict.fromkeys(folder.name for folder in classes))
    if len(names) > 1 and are_parts(names) and not any(map(is_container, names)):
        return (Doubt(f"{', '.join(names[:5])} are parts of one set by their names"),)
    named = [folder for folder in classes if is_container(folder.name)]
    if not named:
        return ()
    verb = "are no classes by their names" if len(named) > 1 else "is no class by its name"
    reason = f"{', '.join(folder.name for folder in named[:5])} {verb}"
    return (Doubt(reason, named[0].path if len(named) == 1 else ""),)
