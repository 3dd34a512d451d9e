"""`FileFinder`: files below folders by the names that people and programs write."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trainables.images import IMAGE_SUFFIXES
from trainables.listing import natural_key


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
        if is_file(path):
            return [path]
        parent = path.parent if _is_folder(path.parent) else self._folder(folder, Path(name).parent)
        if parent is None:
            return []
        index = self._index(parent)
        wanted = Path(name).name
        found = _matches(index.names, wanted) or _matches(index.stems, wanted)
        return [parent / found_name for found_name in found if is_file(parent / found_name)]

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
            files = [Path(entry) for entry in entries_of(folder)]
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


def is_file(path: Path) -> bool:
    """Whether a file exists; False, too, for a text that is too long to be a path."""
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


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Entries of a folder; none if it does not exist, or may not be opened."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
