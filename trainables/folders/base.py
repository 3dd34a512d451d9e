"""Base of a folder's layout: below folders that wrap it, and with its split folders found."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from spaces import DataError
from spaces.wording import counted, name_some
from trainables.folders.companions import is_mask_name
from trainables.folders.layouts import Base, Reading
from trainables.folders.tree import CODE_SUFFIXES, OTHER_SUFFIXES, Folder
from trainables.listing import SplitName, folder_splits, is_container, name_words


def find_base(root: Path, folder: Folder, layout: str | None, eval_is: str) -> Base:
    """Base of ``folder``, the tree of ``root``. With the layout "class-folders", none is a split.

    Raises `DataError` if split folders are empty, or have other folders of images beside them.
    """
    reading: Literal["val", "test"] = "test" if eval_is == "test" else "val"
    base = _unwrap(root, folder, reading)
    splits = folder_splits([child.name for child in base.folders], reading)
    named = {child: split for child in base.folders if (split := splits[child.name])}
    if layout in ("class-folders", "class-split") or "train" not in named.values():
        if layout is None and len(set(named.values())) > 1:
            names = " and ".join(child.name for child in named)
            raise DataError(
                f"{root / base.path} has the split folders {names} but none for train; add it, or "
                "take them as classes with --layout class-folders."
            )
        return Base(base, ((None, base),), eval_is=reading)
    _refuse_folders_beside_splits(root / base.path, base, named)
    parts = tuple((split, _unwrap_part(child)) for child, split in named.items())
    return Base(base, parts, tuple(child.name for child in named), reading)


def refuse_empty_classes(root: Path, base: Base, reading: Reading) -> None:
    """Raise `DataError` if a folder beside the classes of a reading has no readable image."""
    if reading.layout.startswith("name-"):
        return
    folders = [folder for _, part in base.parts if part.with_images for folder in part.folders]
    empty = [folder.path for folder in folders if not folder.image_count and _may_be_class(folder)]
    if empty:
        raise DataError(
            f"Class {name_some([PurePosixPath(path).name for path in empty])} has no readable "
            f"image in {root}; add images, or leave the folder out with --ignore {empty[0]!r}."
        )


def _unwrap(root: Path, folder: Folder, eval_is: Literal["val", "test"]) -> Folder:
    """Innermost folder that has all images of ``folder``; a folder with a train folder stays."""
    while len(folder.with_images) == 1 and not folder.images:
        (child,) = folder.with_images
        splits = folder_splits([child.name for child in folder.folders], eval_is)
        if "train" in splits.values() or not (child.with_images or is_container(child.name)):
            break
        unread = [f for f in folder.folders if f is not child and _has_unread_files(f)]
        if unread:
            raise DataError(
                f"{unread[0].name} in {root / folder.path} has files but no readable image, "
                f"such as {next(unread[0].file_paths())}; leave it out with "
                f"--ignore {unread[0].path!r}."
            )
        folder = child
    return folder


def _unwrap_part(folder: Folder) -> Folder:
    """Content of a split folder, below folders such as "images" or one of the same name."""
    while len(folder.with_images) == 1 and not folder.images:
        (child,) = folder.with_images
        same_name = name_words(child.name) == name_words(folder.name)
        if not (same_name or is_container(child.name)):
            break
        folder = child
    return folder


def _refuse_folders_beside_splits(
    place: Path, base: Folder, splits: dict[Folder, SplitName]
) -> None:
    others = [f for f in base.folders if f not in splits and (f.image_count or _may_be_class(f))]
    if others:
        raise DataError(
            f"{place} has split folders and also {name_some([f.name for f in others])}; "
            "keep only train, val and test there, or one folder per class. "
            f"--ignore {others[0].path!r} leaves a folder out, and --layout class-folders takes "
            "all of them as classes."
        )
    for child in splits:
        if not child.image_count:
            raise DataError(
                f"The split folder {child.name} of {place} has no readable image; add images, or "
                f"leave it out with --ignore {child.path!r}."
            )


def _may_be_class(folder: Folder) -> bool:
    """Whether a folder without images may be a class all the same: not one of code or masks."""
    suffixes = _suffixes(folder)
    is_code = bool(suffixes) and suffixes <= CODE_SUFFIXES
    return not (is_code or is_mask_name(folder.name) or is_container(folder.name))


def _has_unread_files(folder: Folder) -> bool:
    """Whether a folder without images has files of a kind that may be meant as images."""
    return not _suffixes(folder) <= OTHER_SUFFIXES


def _suffixes(folder: Folder) -> set[str]:
    return {PurePosixPath(path).suffix.lower() for path in folder.file_paths()}


def describe_counts(labels: Sequence[str], images: int) -> str:
    """Counts of a reading, such as "2 classes: cat, dog; 120 images"."""
    classes = counted(len(labels), "class", "classes")
    return f"{classes}: {name_some(labels, 3)}; {counted(images, 'image')}"
