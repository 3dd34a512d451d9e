"""Places of a table's images: files by the paths, names or ids that the table gives."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, name_some, shorten
from trainables.images import IMAGE_SUFFIXES
from trainables.listing import is_container, natural_key

MAX_MISSING_SHARE = 0.1
"""Largest share of missing files that is tolerated; the survey then reports each of them."""


@dataclass(frozen=True)
class LocatedImages:
    """Paths of a table's images, row by row, and the folder that they start at."""

    root: Path
    paths: list[Path]
    note: str = ""
    """Where the images were found, if not in the table's own folder."""


class FileFinder:
    """Files below folders by name. Lists each folder once at most.

    Names match whatever the Unicode form of their accents, and in another case if only one file
    fits. A name without an ending matches the images with that stem.
    """

    def __init__(self) -> None:
        self._indices: dict[Path, _FolderIndex] = {}

    def find(self, folder: Path, name: str) -> list[Path]:
        """Files that ``name``, a path relative to ``folder``, may mean; empty if there is none."""
        path = folder / name
        if _is_file(path):
            return [path]
        parent = path.parent if _is_folder(path.parent) else self._folder(folder, Path(name).parent)
        if parent is None:
            return []
        index = self._index(parent)
        wanted = Path(name).name
        found = _matches(index.names, wanted) or _matches(index.stems, wanted)
        return [parent / found_name for found_name in found if _is_file(parent / found_name)]

    def folders_with_all(self, names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
        """Those of ``folders`` in which every one of ``names`` is found."""
        return [folder for folder in folders if all(self.find(folder, name) for name in names)]

    def find_across(self, names: Sequence[str], folders: Sequence[Path]) -> list[tuple[Path, Path]]:
        """Folder and file of each name; empty if not every name has one file in all ``folders``.

        Images of one set may lie in several folders, such as "part_1" and "part_2".
        """
        pairs = []
        for name in names:
            possible = [folder for folder in folders if self._may_hold(folder, name)]
            found = [(folder, file) for folder in possible for file in self.find(folder, name)]
            if len(found) != 1:
                return []
            pairs += found
        return pairs

    def _may_hold(self, folder: Path, name: str) -> bool:
        """Whether a folder may have a file; tells most of those that it lacks without the disk."""
        index, key = self._index(folder), _key(name)
        return "/" in name or key in index.names or key in index.stems

    def _folder(self, folder: Path, below: Path) -> Path | None:
        """Folder ``below`` another, by names in any Unicode form; None if there is not just one."""
        for part in below.parts:
            names = _matches(self._index(folder).names, part) if part != ".." else [part]
            if len(names) != 1:
                return None
            folder = folder / names[0]
        return folder

    def _index(self, folder: Path) -> "_FolderIndex":
        if folder not in self._indices:
            index = self._indices[folder] = _FolderIndex()
            files = [Path(entry) for entry in _entries(folder)]
            for file in sorted(files, key=lambda p: natural_key(p.name)):
                index.names[_key(file.name)].append(file.name)
                if file.suffix.lower() in IMAGE_SUFFIXES:
                    index.stems[_key(file.stem)].append(file.name)
        return self._indices[folder]


@dataclass(frozen=True)
class _FolderIndex:
    """Names in a folder: all by their key, and images by the key of their stem."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    stems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a text too long to be a path
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a text too long to be a path
        return False


def _key(name: str) -> str:
    """Key that is equal for names that differ in Unicode form, case or the disk's encoding."""
    raw = os.fsencode(name)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return unicodedata.normalize("NFC", text).casefold()


def _matches(names: dict[str, list[str]], wanted: str) -> list[str]:
    """Names with the key of ``wanted``; those in the same case first, if there are any."""
    found = names.get(_key(wanted), [])
    start = unicodedata.normalize("NFC", wanted)
    return [n for n in found if unicodedata.normalize("NFC", n).startswith(start)] or found


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
    if "\\" in value and not _is_file(folder / value):
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
        for entry in _entries(folder)
        if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
    ]
    return sorted(inside, key=lambda p: natural_key(p.name))


def _containers_below(folder: Path) -> list[Path]:
    """Folders such as "images" in those of a folder, as in "images_001/images"."""
    below = [inner for outer in _folders_in(folder) for inner in _folders_in(outer)]
    return [inner for inner in below if is_container(inner.name)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder; none if it does not exist, or may not be opened."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


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
