"""Shards: the tar archives of a data source, and which of them are parts of one whole."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from spaces.wording import counted, name_some
from trainables.folders import Folder, Tree, is_hidden, scan_tree
from trainables.images import ARCHIVE_SUFFIX, open_container
from trainables.listing import IgnorePatterns, natural_key

_NUMBERED = re.compile(
    r"(?:(?P<name>.+?)[-_.])?(?P<number>\d{2,}|(?<![-_.])\d)(?:-of-(?P<count>\d+))?"
)
"""Stem of a shard: "train-000012", "00012", "7", "train-00000-of-00010"; not "class_1"."""


@dataclass(frozen=True)
class Shard:
    """A tar archive of a data source."""

    path: str
    """Path relative to the source; empty if the archive is the source."""
    members: tuple[str, ...]
    """Names of the files in it that are used, in its order."""

    @cached_property
    def folder(self) -> str:
        """Path of the folder that the archive stands for. Shards of one sequence share it.

        It is "train" for "train-0001.tar", for "train/0001.tar" and for "train.tar".
        """
        if not self.path:
            return ""
        path = PurePosixPath(self.path)
        numbered = _NUMBERED.fullmatch(path.stem)
        name = (numbered["name"] or "") if numbered else path.stem
        folder = str(path.parent / name)
        return "" if folder == "." else folder

    def join(self, name: str) -> str:
        """Path of a file in the archive, relative to the source."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(frozen=True)
class Shards:
    """All archives of a data source, and what lies beside them."""

    root: Path
    """The folder of the archives, or the only archive."""
    shards: tuple[Shard, ...]
    beside: Tree
    """Folder of the archives; its other files are no images."""
    skipped: tuple[tuple[str, str], ...]
    """Reason and path of each file in an archive that was passed over."""
    idle_patterns: tuple[str, ...]
    """Patterns to ignore that match nothing."""

    @property
    def beside_paths(self) -> list[str]:
        """Paths of the files beside the archives."""
        archives = {shard.path for shard in self.shards}
        return [path for path in self.beside.root.file_paths() if path not in archives]

    @property
    def notes(self) -> list[str]:
        """Notes on patterns that match nothing, and on gaps in the numbers of shards."""
        idle = [f"--ignore {pattern!r} matches nothing." for pattern in self.idle_patterns]
        return [*idle, *_gap_notes(shard.path for shard in self.shards)]


def find_archives(tree: Tree) -> list[str]:
    """Paths of the tar archives of a folder, in natural order; empty if it has images too."""
    if tree.root.image_count:
        return []
    paths = [path for path in tree.root.file_paths() if path.lower().endswith(ARCHIVE_SUFFIX)]
    return sorted(paths, key=natural_key)


def read_shards(root: Path, ignore: Sequence[str] = ()) -> Shards:
    """Read the names of all files in the archives below ``root``, or in the archive ``root``.

    Hidden files, and those that a pattern in ``ignore`` matches, are left out. Patterns are those
    of `scan_tree`; an archive counts as a folder by its own name, and by `Shard.folder`. Raises
    `DataError` if an archive is damaged.
    """
    beside = scan_tree(root, ignore) if root.is_dir() else Tree(Folder(""), (), tuple(ignore))
    paths = find_archives(beside) if root.is_dir() else [""]
    patterns = IgnorePatterns(ignore)
    skipped: list[tuple[str, str]] = []
    shards = []
    for path in paths:
        shard = Shard(path, ())
        kept = []
        for name in open_container(root / path).names:
            if is_hidden(name):
                skipped.append(("hidden files", shard.join(name)))
            elif ignore and (
                patterns.match_within(shard.join(name))
                or patterns.match_within(f"{shard.folder}/{name}")
            ):
                skipped.append(("files left out by --ignore", shard.join(name)))
            else:
                kept.append(name)
        shards.append(Shard(path, tuple(kept)))
    idle = tuple(p for p in beside.idle_patterns if p in patterns.idle)
    return Shards(root, tuple(shards), beside, tuple(skipped), idle)


def _gap_notes(paths: Iterable[str]) -> list[str]:
    """Note for each sequence of numbered archives that lacks some."""
    numbers: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    for path in paths:
        stem = PurePosixPath(path).stem
        if numbered := _NUMBERED.fullmatch(stem):
            place = str(PurePosixPath(path).parent / (numbered["name"] or ""))
            numbers[place, numbered["count"] or ""][int(numbered["number"])] = path
    notes = []
    for (_, count), found in numbers.items():
        first, last = min(found), max(found)
        expected = range(int(count)) if count else range(first, last + 1)
        missing = [str(number) for number in expected if number not in found]
        if missing:
            notes.append(
                f"{counted(len(missing), 'shard')} of the sequence from {found[first]} to "
                f"{found[last]} {'is' if len(missing) == 1 else 'are'} missing: "
                f"{name_some(missing, 5)}."
            )
    return notes
