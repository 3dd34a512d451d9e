"""Files that a user names to be classified, singly or as folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spaces import DataError
from spaces.wording import name_some
from trainables.folders.tree import file_suffix, is_hidden, scan_tree
from trainables.images import IMAGE_SUFFIXES, ImageContainer, ParquetImages, images_within
from trainables.listing import Unused


@dataclass(frozen=True)
class GivenFiles:
    """Files to be classified, and what lies beside them in their folders."""

    files: tuple[Path, ...]
    """Files in the order given; those of a folder in natural order. They may be missing."""
    skipped: tuple[Unused, ...]
    """What the folders hold besides, by reason. An example is a path as it was given."""


def find_given_files(paths: Sequence[Path]) -> GivenFiles:
    """Replace each folder, tar archive and Parquet file in ``paths`` by its images.

    All other paths are kept. A path may lead to a folder in an archive, or to one of several
    columns of images in a Parquet file: "t.parquet/photo".

    Folders are walked as for training: hidden files are skipped, links are followed, and what a
    file is goes by its content. Unlike there, masks are kept. A folder that can't be opened stays
    in the list, as a file that can't be read. Nothing is decoded. Raises `DataError` for an archive
    or a Parquet file that is damaged, an archive that is compressed, and a Parquet file without a
    column of images, or with several.
    """
    files: list[Path] = []
    skipped: list[tuple[str, Path]] = []
    for path in paths:
        if (within := images_within(path)) is not None:
            images, others = _in_container(*within)
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


def _in_container(
    container: ImageContainer, file: Path, names: Sequence[str]
) -> tuple[list[Path], list[tuple[str, Path]]]:
    """Images among the files of a container, and why each other file is skipped.

    Files in an archive are told apart by their suffixes. Raises `DataError`.
    """
    if isinstance(container, ParquetImages):
        _refuse_columns(container, file, names)
        given = set(names)
        files = [path for column in container.columns for path in container.files_in(column)]
        pairs = zip(container.names, files, strict=True)
        return [path for name, path in pairs if name in given], []
    images: list[Path] = []
    skipped: list[tuple[str, Path]] = []
    for name in names:
        path = file / name
        if is_hidden(name):
            skipped.append(("hidden files", path))
        elif file_suffix(name) in IMAGE_SUFFIXES:
            images.append(path)
        else:
            skipped.append(("files that are not images", path))
    return images, skipped


def _refuse_columns(table: ParquetImages, file: Path, names: Sequence[str]) -> None:
    """Raise `DataError` unless images of one column of a Parquet file are given."""
    if not table.columns:
        raise DataError(
            f"{file} has no images inside: its columns {name_some(table.schema.names)} hold no "
            "bytes; give image files, folders of them, or another file."
        )
    if len(table.columns) > 1 and len(names) == len(table.names):
        given = [str(file / column) for column in table.columns]
        raise DataError(
            f"{file} has several columns of images; give one of them: {name_some(given)}."
        )


def _by_reason(skipped: Sequence[tuple[str, Path]]) -> tuple[Unused, ...]:
    """Number of skipped paths and the first of them for each reason, in order of appearance."""
    paths: dict[str, list[Path]] = {}
    for reason, path in skipped:
        paths.setdefault(reason, []).append(path)
    return tuple(Unused(reason, len(found), str(found[0])) for reason, found in paths.items())
