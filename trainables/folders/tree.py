"""Folder: names of the images and other files below a folder, read from disk once."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from trainables.images import IMAGE_SUFFIXES, is_image
from trainables.listing import IgnorePatterns, natural_key

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
    places: Mapping[str, str] = field(default_factory=dict)
    """Path on disk of each file that lies elsewhere, such as in an archive, by its path in the
    tree. Both are relative to the folder that the tree was read from."""

    def place(self, path: str) -> str:
        """Path on disk of a file of the tree, relative to the folder that it was read from."""
        return self.places.get(path, path)


def is_hidden(path: str) -> bool:
    """Whether a relative path has a part that is hidden, or that macOS adds to archives."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def scan_tree(root: Path, ignore: Sequence[str] = ()) -> Tree:
    """Read the names of all files below ``root``.

    Only files whose suffix does not tell what they are get opened. Links are followed, unless they
    lead back to a folder that holds them. What a pattern in ``ignore`` matches is left out; see
    `IgnorePatterns`.
    """
    scan = _Scan(IgnorePatterns(ignore))
    folder = scan.read(root, "", ())
    return Tree(folder, tuple(scan.skipped), scan.ignore.idle)


@dataclass
class _Scan:
    """State of one scan: the patterns to ignore, and what was passed over."""

    ignore: IgnorePatterns
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
        if is_hidden(entry.name):
            return "hidden folders" if entry.is_dir() else "hidden files"
        if self.ignore.match(path):
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


def _is_image(path: str) -> bool:
    """Whether a file is an image. Its content is read only if its suffix does not tell."""
    suffix = file_suffix(path)
    return suffix in IMAGE_SUFFIXES or (suffix not in OTHER_SUFFIXES and is_image(Path(path)))


def file_suffix(path: str) -> str:
    """Suffix of a file in lower case, such as ".png"; much quicker than `Path.suffix`."""
    return os.path.splitext(path)[1].lower()  # noqa: PTH122
