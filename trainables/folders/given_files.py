"""Files that a user names to be classified, singly or as folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.folders.tree import file_suffix, is_hidden, scan_tree
from trainables.images import ARCHIVE_SUFFIX, IMAGE_SUFFIXES, archive_members
from trainables.listing import Unused


@dataclass(frozen=True)
class GivenFiles:
    """Files to be classified, and what lies beside them in their folders."""

    files: tuple[Path, ...]
    """Files in the order given; those of a folder in natural order. They may be missing."""
    skipped: tuple[Unused, ...]
    """What the folders hold besides, by reason. An example is a path as it was given."""


def find_given_files(paths: Sequence[Path]) -> GivenFiles:
    """Replace each folder and tar archive in ``paths`` by its images; keep all other paths.

    Folders are walked as for training: hidden files are skipped, links are followed, and what a
    file is goes by its content. Unlike there, masks are kept. A folder that can't be opened stays
    in the list, as a file that can't be read. Nothing is decoded. Raises `DataError` for an archive
    that is damaged or compressed.
    """
    files: list[Path] = []
    skipped: list[tuple[str, Path]] = []
    for path in paths:
        if path.suffix.lower() == ARCHIVE_SUFFIX and path.is_file():
            images, others = _in_archive(path)
            files += images
            skipped += others
            continue
        if not path.is_dir():
            files.append(path)
            continue
        try:
            tree = scan_tree(path)
        except OSError:
            files.append(path)
            continue
        files += [path / image for image in tree.root.image_paths()]
        for folder in tree.root.walk():
            names = (path / folder.join(name) for name in folder.others)
            skipped += [("files that are not images", other) for other in names]
        skipped += [(reason, path / below) for reason, below in tree.skipped]
    return GivenFiles(tuple(files), _by_reason(skipped))


def _in_archive(archive: Path) -> tuple[list[Path], list[tuple[str, Path]]]:
    """Images in a tar archive, told by their suffixes, and why each other file is skipped.

    Raises `DataError`.
    """
    images: list[Path] = []
    skipped: list[tuple[str, Path]] = []
    for name in archive_members(archive):
        path = archive / name
        if is_hidden(name):
            skipped.append(("hidden files", path))
        elif file_suffix(name) in IMAGE_SUFFIXES:
            images.append(path)
        else:
            skipped.append(("files that are not images", path))
    return images, skipped


def _by_reason(skipped: Sequence[tuple[str, Path]]) -> tuple[Unused, ...]:
    """Number of skipped paths and the first of them for each reason, in order of appearance."""
    paths: dict[str, list[Path]] = {}
    for reason, path in skipped:
        paths.setdefault(reason, []).append(path)
    return tuple(Unused(reason, len(found), str(found[0])) for reason, found in paths.items())
