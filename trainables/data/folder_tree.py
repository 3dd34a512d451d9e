"""Folder: names of the images and other files below a folder, read from disk once."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from trainables.data.image_formats import IMAGE_SUFFIXES, is_image
from trainables.data.listing import natural_key

CODE_SUFFIXES = {
    *(".cfg", ".css", ".html", ".ini", ".ipynb", ".js", ".json", ".lock", ".m", ".md", ".py"),
    *(".pyc", ".r", ".rst", ".sh", ".toml", ".ts", ".yaml", ".yml"),
}
"""Suffixes of code and its documents, in lower case."""

OTHER_SUFFIXES = {
    *CODE_SUFFIXES,
    *(".7z", ".ckpt", ".csv", ".db", ".doc", ".docx", ".gz", ".h5", ".hdf5", ".jsonl", ".keras"),
    *(".log", ".mat", ".mp3", ".mp4", ".npy", ".npz", ".onnx", ".parquet", ".pb", ".pdf"),
    *(".pickle", ".pkl", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tgz", ".tsv", ".txt"),
    *(".wav", ".xls", ".xlsx", ".xml", ".zip"),
}
"""Suffixes of files that are not opened to see whether they are images, in lower case."""


@dataclass(frozen=True)
class Folder:
    """Folder of a tree. Images are told from other files; nothing is decoded."""

    path: str
    """Path relative to the root of the tree, with "/"; empty for the root."""
    folders: tuple["Folder", ...] = ()
    """Subfolders, by name."""
    images: tuple[str, ...] = ()
    """Names of the images directly in this folder."""
    others: tuple[str, ...] = ()
    """Names of the other files directly in this folder."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @cached_property
    def image_count(self) -> int:
        """Number of images at any depth."""
        return len(self.images) + sum(folder.image_count for folder in self.folders)

    @cached_property
    def with_images(self) -> tuple["Folder", ...]:
        """Subfolders that have images at any depth."""
        return tuple(folder for folder in self.folders if folder.image_count)

    def join(self, name: str) -> str:
        """Path of a file or folder that lies in this folder, relative to the root of the tree."""
        return f"{self.path}/{name}" if self.path else name

    def walk(self) -> Iterator["Folder"]:
        """Yield this folder and all folders below it."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def file_paths(self) -> Iterator[str]:
        """Yield the paths of all files at any depth."""
        for folder in self.walk():
            yield from map(folder.join, (*folder.images, *folder.others))

    def image_paths(self) -> Iterator[str]:
        """Yield the paths of images at any depth; files and folders together in natural order."""
        entries: list[tuple[str, Folder | None]] = [(name, None) for name in self.images]
        entries += [(folder.name, folder) for folder in self.folders]
        for name, folder in sorted(entries, key=lambda entry: natural_key(entry[0])):
            if folder is None:
                yield self.join(name)
            else:
                yield from folder.image_paths()


@dataclass(frozen=True)
class Tree:
    """All that lies below a folder on disk."""

    root: Folder
    skipped: tuple[tuple[str, str], ...]
    """Reason and path of each file and folder that was passed over."""
    idle_patterns: tuple[str, ...]
    """Patterns to ignore that match nothing."""


def scan_tree(root: Path, ignore: Sequence[str] = ()) -> Tree:
    """Read the names of all files below ``root``.

    Only files whose suffix does not tell what they are get opened. Links are followed, unless they
    lead back to a folder that holds them. A pattern in ``ignore`` without "/" matches a name at any
    depth; one with "/" matches a path relative to ``root``; "**" stands for any folders.
    """
    scan = _Scan({pattern: _pattern_parts(pattern) for pattern in ignore})
    folder = scan.read(root, "", ())
    idle = tuple(pattern for pattern in ignore if pattern not in scan.matched)
    return Tree(folder, tuple(scan.skipped), idle)


@dataclass
class _Scan:
    """State of one scan: the patterns to ignore, and what was passed over."""

    patterns: dict[str, list[str]]
    matched: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def read(self, folder: Path, path: str, above: tuple[str, ...]) -> Folder:
        """Read one folder. ``above`` has the real paths of the folders that hold it."""
        above = (*above, os.path.realpath(folder))
        folders: list[Folder] = []
        images: list[str] = []
        others: list[str] = []
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            below = f"{path}/{entry.name}" if path else entry.name
            if reason := self._reason_to_skip(entry, below, above):
                self.skipped.append((reason, below))
            elif entry.is_dir():
                folders.append(self.read(Path(entry.path), below, above))
            else:
                (images if _is_image(entry.path) else others).append(entry.name)
        return Folder(path, tuple(folders), tuple(images), tuple(others))

    def _reason_to_skip(self, entry: os.DirEntry[str], path: str, above: Sequence[str]) -> str:
        if entry.name.startswith((".", "__MACOSX")):
            return "hidden folders" if entry.is_dir() else "hidden files"
        if self._is_ignored(path):
            return (
                "folders left out by --ignore" if entry.is_dir() else "files left out by --ignore"
            )
        if entry.is_symlink():
            if not Path(entry.path).exists():
                return "links to nothing"
            if entry.is_dir() and os.path.realpath(entry.path) in above:
                return "links that lead back to a folder that holds them"
        if entry.is_dir() and not os.access(entry.path, os.R_OK | os.X_OK):
            return "folders that may not be opened"
        return "" if entry.is_dir() or entry.is_file() else "devices, pipes and sockets"

    def _is_ignored(self, path: str) -> bool:
        matches = [p for p, parts in self.patterns.items() if _matches(path.split("/"), parts)]
        self.matched.update(matches)
        return bool(matches)


def ignored_by(path: str, patterns: Sequence[str]) -> list[str]:
    """The ``patterns`` that match a relative ``path``, or a folder that holds it (`scan_tree`)."""
    parts = path.split("/")
    folders = [parts[:k] for k in range(1, len(parts) + 1)]
    wanted = {pattern: _pattern_parts(pattern) for pattern in patterns}
    return [p for p in patterns if any(_matches(folder, wanted[p]) for folder in folders)]


def _pattern_parts(pattern: str) -> list[str]:
    parts = pattern.removeprefix("./").strip("/").split("/")
    return ["**", *parts] if len(parts) == 1 and not pattern.startswith(("/", "./")) else parts


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, in which "**" is any number of them."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[k:], pattern[1:]) for k in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


def _is_image(path: str) -> bool:
    """Whether a file is an image. Its content is read only if its suffix does not tell."""
    suffix = file_suffix(path)
    return suffix in IMAGE_SUFFIXES or (suffix not in OTHER_SUFFIXES and is_image(Path(path)))


def file_suffix(path: str) -> str:
    """Suffix of a file in lower case, such as ".png"; much quicker than `Path.suffix`."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122
