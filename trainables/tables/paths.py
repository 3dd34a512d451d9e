"""Places of a table's images: files by the paths, names or ids that the table gives."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, name_some, shorten
from trainables.listing import is_container, natural_key
from trainables.tables.file_finder import FileFinder, entries_of, is_file

MAX_MISSING_SHARE = 0.1
"""Largest share of missing files that is tolerated; the survey then reports each of them."""


@dataclass(frozen=True)
class LocatedImages:
    """Paths of a table's images, row by row, and the folder that they start at."""

    root: Path
    paths: list[Path]
    note: str = ""
    """Where the images were found, if not in the table's own folder."""


def locate_images(
    values: Sequence[str], source: Path | str, folder: Path, image_root: Path | None
) -> LocatedImages:
    """Find the images of the table ``source`` in ``folder`` by its paths, names or ids.

    They start at ``image_root``. If that is None, they start at the table's own folder; or else at
    the one folder in it, or its parent, where all files exist; or else at the one such folder
    beside it; or else at several folders in it, or at folders such as "images" in these, if each
    file exists in one of them.

    Raises `DataError` if the files are not found there, or in several folders.
    """
    _refuse_addresses(values, source)
    finder = FileFinder()
    home = image_root or folder
    names = [_as_here(value, home) for value in values]
    found = [finder.find(home, name) for name in names]
    if all(found):
        return LocatedImages(home, _only_files(found, values, source))
    prefix = "" if image_root else _foreign_prefix(names)
    names = [name.removeprefix(prefix) for name in names]
    if image_root is None:
        near = [home, *_places_near(home)] if prefix else _places_near(home)
        places = finder.folders_with_all(names, near)
        places = places or finder.folders_with_all(names, _places_beside(home))
        if len(places) == 1:
            paths = _only_files([finder.find(places[0], n) for n in names], values, source)
            return LocatedImages(_root(places[0], home), paths, _note(places[0], home, prefix))
        if places:
            raise DataError(
                f"The images of {source} are in several folders "
                f"({name_some([_short(place, home) for place in places])}); "
                "choose one with --image-root."
            )
        for folders in (_folders_in(home), _containers_below(home)):
            if across := finder.find_across(names, folders):
                starts = list(dict.fromkeys(place for place, _ in across))
                return LocatedImages(home, [file for _, file in across], _note_of(starts, home))
    missing = [value for value, paths in zip(values, found, strict=True) if not paths]
    if len(missing) > MAX_MISSING_SHARE * len(values):
        if image_root is None:
            around = [home, *_places_near(home), *_places_beside(home)]
            _refuse_place_that_lacks_a_few(finder, names, around, source)
        raise _missing_error(missing, len(values), source, home, is_root=image_root is not None)
    kept = [files or [home / name] for files, name in zip(found, names, strict=True)]
    return LocatedImages(home, _only_files(kept, values, source))


def paths_as_written(values: Sequence[str], folder: Path) -> list[Path]:
    """Paths relative to the table's folder, for images that are not on this machine yet."""
    return [folder / value.replace("\\", "/") for value in values]


def _refuse_addresses(values: Sequence[str], source: Path | str) -> None:
    """Raise `DataError` if values are empty, or addresses of web pages or object stores."""
    if empty := sum(not value for value in values):
        raise DataError(
            f"{source} has {counted(empty, 'row')} without an image; fill or drop them."
        )
    addresses = [value for value in values if re.match(r"[a-z][a-z0-9+]+://", value.lower())]
    if addresses:
        raise DataError(
            f"{source} has {counted(len(addresses), 'address', 'addresses')} instead of paths, "
            f"such as {shorten(addresses[0])}; download the images, and give their paths."
        )


def _as_here(value: str, folder: Path) -> str:
    """Path with slashes instead of backslashes, unless a file has a backslash in its name."""
    if "\\" in value and not is_file(folder / value):
        return value.replace("\\", "/")
    return value


def _foreign_prefix(names: Sequence[str]) -> str:
    """Common folder, with a slash, of absolute paths from another machine; else empty."""
    if not all(re.match(r"([A-Za-z]:)?/", name) for name in names):
        return ""
    if len({name[:2] for name in names if name[1:2] == ":"}) > 1:
        return ""
    common = os.path.commonpath([name.rpartition("/")[0] or "/" for name in names]).rstrip("/")
    is_share = all(name.startswith("//") for name in names)  # of which commonpath drops a slash
    return f"/{common}/" if is_share else f"{common}/"


def _places_near(home: Path) -> list[Path]:
    """Folders one step away from a table: those in its own folder, and its parent."""
    return [*_folders_in(home), home.parent]


def _places_beside(home: Path) -> list[Path]:
    """Folders beside that of a table, such as ``images/`` beside ``labels/``."""
    return [place for place in _folders_in(home.parent) if place != home]


def _folders_in(folder: Path) -> list[Path]:
    inside = [
        folder / entry.name
        for entry in entries_of(folder)
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    ]
    return sorted(inside, key=lambda p: natural_key(p.name))


def _containers_below(folder: Path) -> list[Path]:
    """Folders such as "images" in those of a folder, as in "images_001/images"."""
    below = [inner for outer in _folders_in(folder) for inner in _folders_in(outer)]
    return [inner for inner in below if is_container(inner.name)]


def _root(place: Path, home: Path) -> Path:
    return home if place.is_relative_to(home) else place


def _short(place: Path, home: Path) -> str:
    return f"{place.name}/" if place.is_relative_to(home) and place != home else str(place)


def _note(place: Path, home: Path, prefix: str) -> str:
    where = f"The paths of the table start at {_short(place, home)}"
    return f"{where}, where {prefix} was on another machine." if prefix else f"{where}."


def _note_of(places: Sequence[Path], home: Path) -> str:
    """Note on the folders below ``home`` that the paths of a table start at."""
    names = [f"{place.relative_to(home).as_posix()}/" for place in places]
    names.sort(key=natural_key)
    return f"The paths of the table start at {name_some(names)}."


def _only_files(
    found: Sequence[list[Path]], values: Sequence[str], source: Path | str
) -> list[Path]:
    """The one file of each row. Raises `DataError` if a name means several files."""
    for paths, value in zip(found, values, strict=True):
        if len(paths) > 1:
            raise DataError(
                f"The image {shorten(value)!r} of {source} may be "
                f"{name_some([p.name for p in paths])}; write the name with its ending."
            )
    return [paths[0] for paths in found]


def _refuse_place_that_lacks_a_few(
    finder: FileFinder, names: Sequence[str], places: Sequence[Path], source: Path | str
) -> None:
    """Raise `DataError` if one of ``places`` has nearly all files; the error names those it lacks.

    With that folder as ``--image-root``, a few missing files are left to the survey.
    """
    tolerated = int(MAX_MISSING_SHARE * len(names))
    for place in places:
        absent = (name for name in names if not finder.find(place, name))
        lacking = list(islice(absent, tolerated + 1))  # a folder with others is left at once
        if len(lacking) <= tolerated:
            raise DataError(
                f"{place} has {len(names) - len(lacking)} of the {len(names)} images of {source}, "
                f"and lacks {len(lacking)}, such as {shorten(lacking[0])!r}; give "
                f"--image-root {str(place)!r} to go without them."
            )


def _missing_error(
    missing: Sequence[str], total: int, source: Path | str, home: Path, *, is_root: bool
) -> DataError:
    """Error for missing files, with the places where they were looked up."""
    where = str(home)
    if not is_root:
        inside = [f"{place.name}/" for place in _places_near(home)[:-1]]
        folders = f", the folders in it ({name_some(inside)})" if inside else ""
        where += f"{folders}, its parent or one folder beside it"
    remedy = "choose another --image-root" if is_root else "give their folder with --image-root"
    return DataError(
        f"{len(missing)} of the {total} images of {source} are not in {where}, such as "
        f"{shorten(missing[0])!r}; {remedy}."
    )
