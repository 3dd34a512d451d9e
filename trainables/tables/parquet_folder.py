"""`ParquetFolderSource`: a folder of Parquet files as downloaded from the Hugging Face Hub."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, name_some
from trainables.listing import (
    DataSource,
    Listing,
    ReadOptions,
    SplitName,
    Unused,
    eval_notes,
    natural_key,
    split_name,
)
from trainables.progress import Progress
from trainables.tables.rows import sum_unused
from trainables.tables.source import TableSource

_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?")
"""Stem of a file that holds a part of a split, such as "train-00000-of-00002"."""


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Parquet files in a folder, or up to two folders deep, by the split in their name.

    The split is in the name of the file ("train-00000-of-00001", "train") or of its folder
    ("train/0000.parquet"). Empty if no file names a known split.
    """
    files = [path for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}*.parquet")]
    shards: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(files, key=lambda p: natural_key(str(p))):
        named = _SHARD.fullmatch(file.stem)
        numbered = file.stem.isdecimal() and file.parent != folder
        split = named["split"] if named else file.parent.name if numbered else file.stem
        shards[split].append(file)
    return dict(shards) if any(split_name(split, "val") for split in shards) else {}


class ParquetFolderSource(DataSource):
    """A folder of Parquet tables, one or several for each split."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder, self._cache = folder, cache

    def check(self, options: ReadOptions) -> None:
        """See `DataSource.check`. Files must name splits, and no part may be missing."""
        self._shards(options)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        parts: list[Listing] = []
        for split, files in self._shards(options).items():
            for file in files:
                part = TableSource(file, self._cache, split=split).read(options, progress)
                parts.append(part)
        roots = {part.root for part in parts}
        rows = tuple(row for part in parts for row in part.rows)
        kind = f"{counted(len(parts), 'Parquet file')} of {counted(len(rows), 'row')}"
        detail = parts[0].kind.partition(" (")[2]
        notes = [note for part in parts for note in part.notes]
        notes += eval_notes(find_shards(self._folder), options.eval_is)
        return Listing(
            self._folder if len(roots) > 1 else parts[0].root,
            f"{kind} ({detail}" if detail else kind,
            rows,
            (*sum_unused([u for part in parts for u in part.unused]), *self._other_files()),
            tuple(dict.fromkeys(notes)),
        )

    def _shards(self, options: ReadOptions) -> dict[SplitName, list[Path]]:
        """Files of each split. Raises `DataError` if splits are unknown or files are missing."""
        by_split: dict[SplitName, list[Path]] = defaultdict(list)
        shards = find_shards(self._folder)
        unknown = []
        for name, files in shards.items():
            split = split_name(name, options.eval_is)
            if split is None:
                unknown.append(name)
            else:
                by_split[split] += files
        if unknown:
            raise DataError(
                f"{self._folder} has Parquet files of the splits {name_some(unknown)}; call their "
                "splits train, val and test, or move them."
            )
        for files in by_split.values():
            self._refuse_several_sets(files)
            self._refuse_missing_parts(files)
        return dict(by_split)

    def _refuse_several_sets(self, files: Sequence[Path]) -> None:
        """Raise `DataError` if one split's files lie in several folders."""
        folders = list(dict.fromkeys(file.parent for file in files))
        if len(folders) > 1:
            shown = name_some([folder.relative_to(self._folder) for folder in folders])
            raise DataError(
                f"{self._folder} has Parquet files of the same split in several folders ({shown}); "
                "give the folder of one set."
            )

    def _refuse_missing_parts(self, files: Sequence[Path]) -> None:
        """Raise `DataError` if names such as "train-00000-of-00002" tell of missing files."""
        named = [match for file in files if (match := _SHARD.fullmatch(file.stem))]
        if named and len(files) != int(named[0]["count"]):
            raise DataError(
                f"{files[0].parent} has {len(files)} of the {int(named[0]['count'])} Parquet files "
                f"of {named[0]['split']}; download the others too."
            )

    def _other_files(self) -> list[Unused]:
        """Files beside the Parquet files, except hidden ones."""
        others = [
            str(path.relative_to(self._folder))
            for path in self._folder.rglob("*")
            if path.is_file() and path.suffix != ".parquet"
        ]
        others = sorted((n for n in others if not n.startswith(".")), key=natural_key)
        reason = "files beside the Parquet files"
        return [Unused(reason, len(others), name_some(others[:1]))] if others else []
