"""`ParquetFolderSource`: a folder of Parquet files as downloaded from the Hugging Face Hub."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, name_some
from trainables.images import PARQUET_SUFFIX, ParquetImages, is_image
from trainables.listing import (
    DataSource,
    IgnorePatterns,
    Listing,
    ReadOptions,
    SplitName,
    Unused,
    eval_notes,
    natural_key,
    split_name,
)
from trainables.progress import Progress, ignore_progress
from trainables.tables.rows import idle_notes, sum_unused
from trainables.tables.source import TableSource

_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?")
"""Stem of a file that holds a part of a split, such as "train-00000-of-00002"."""


def find_shards(folder: Path, ignore: Sequence[str] = ()) -> dict[str, list[Path]]:
    """Parquet files in a folder, or up to two folders deep, by the split in their name.

    The split is in the name of the file ("train-00000-of-00001", "train") or of its folder
    ("train/0000.parquet"). If no file names a known split, all files are under the name "" if they
    hold images and no image lies beside them, else the result is empty. Hidden files, and those
    that a pattern in ``ignore`` matches, are left out.
    """
    patterns = IgnorePatterns(ignore)
    shards: dict[str, list[Path]] = defaultdict(list)
    for file in _parquet_files(folder):
        if patterns.match_within(file.relative_to(folder).as_posix()):
            continue
        named = _SHARD.fullmatch(file.stem)
        numbered = file.stem.isdecimal() and file.parent != folder
        split = named["split"] if named else file.parent.name if numbered else file.stem
        shards[split].append(file)
    if any(split_name(split, "val") for split in shards):
        return dict(shards)
    files = [file for found in shards.values() for file in found]
    return {"": files} if files and _are_all_images(folder, files) else {}


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files in a folder, or up to two folders deep, in natural order."""
    found = (path for depth in ("", "*/", "*/*/") for path in folder.glob(f"{depth}*.parquet"))
    files = [
        file
        for file in found
        if file.is_file() and not str(file.relative_to(folder)).startswith(".")
    ]
    return sorted(files, key=lambda path: natural_key(str(path)))


def _are_all_images(folder: Path, files: Sequence[Path]) -> bool:
    """Whether a folder's Parquet files hold images, by the first one, and none lies beside them."""
    beside = any(is_image(path) for path in folder.rglob("*") if path.suffix != PARQUET_SUFFIX)
    return not beside and bool(ParquetImages(files[0]).columns)


class ParquetFolderSource(DataSource):
    """A folder of Parquet tables, one or several for each split, or without splits."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, options: ReadOptions) -> Listing:
        """See `DataSource.check`. Reads all tables, except images inside them."""
        return self.read(options, ignore_progress)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        ignore = IgnorePatterns(options.ignore)
        shards = self._shards(options)
        left_out = [
            path
            for file in _parquet_files(self._folder)
            if ignore.match_within(path := file.relative_to(self._folder).as_posix())
        ]
        parts: list[Listing] = []
        for done, (split, files) in enumerate(shards.items(), start=1):
            source = TableSource(self._folder, files, split=split)
            parts.append(source.list_rows(options, ignore))
            progress("reading tables", done, len(shards))
        roots = {part.root for part in parts}
        rows = tuple(row for part in parts for row in part.rows)
        count = sum(len(files) for files in shards.values())
        kind = f"{counted(count, 'Parquet file')} of {counted(len(rows), 'row')}"
        detail = parts[0].kind.partition(" (")[2]
        notes = [note for part in parts for note in part.notes]
        notes += eval_notes(find_shards(self._folder, options.ignore), options.eval_is)
        reason = "files left out by --ignore"
        unused = [Unused(reason, len(left_out), left_out[0])] if left_out else []
        return Listing(
            self._folder if len(roots) > 1 else parts[0].root,
            f"{kind} ({detail}" if detail else kind,
            rows,
            (*sum_unused([u for part in parts for u in part.unused]), *unused, *self._beside()),
            tuple(dict.fromkeys((*notes, *idle_notes(ignore)))),
        )

    def _shards(self, options: ReadOptions) -> dict[SplitName | None, list[Path]]:
        """Files of each split. Raises `DataError` if splits are unknown or files are missing."""
        by_split: dict[SplitName | None, list[Path]] = defaultdict(list)
        shards = find_shards(self._folder, options.ignore)
        unknown = {}
        for name, files in shards.items():
            split = split_name(name, options.eval_is) if name else None
            if name and split is None:
                unknown[name] = files[0].relative_to(self._folder).as_posix()
            else:
                by_split[split] += files
        if unknown:
            raise DataError(
                f"{self._folder} has Parquet files of the splits {name_some(list(unknown))}; call "
                "their splits train, val and test, or leave them out with --ignore "
                f"{next(iter(unknown.values()))!r}."
            )
        for files in by_split.values():
            self._refuse_several_sets(files)
        self._refuse_missing_parts(shards)
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

    def _refuse_missing_parts(self, shards: Mapping[str, Sequence[Path]]) -> None:
        """Raise `DataError` if names such as "train-00000-of-00002" tell of missing files.

        Files that are left out by ``--ignore`` are not missing.
        """
        there: dict[tuple[Path, str, int], int] = Counter()
        for name, files in find_shards(self._folder).items():
            named = [(f, m) for f in files if name in shards and (m := _SHARD.fullmatch(f.stem))]
            there.update(Counter((f.parent, m["split"], int(m["count"])) for f, m in named))
        for (folder, split, count), found in there.items():
            if found != count:
                raise DataError(
                    f"{folder} has {found} of the {count} Parquet files of {split}; download the "
                    "others too."
                )

    def _beside(self) -> list[Unused]:
        """Files beside the Parquet files, except hidden ones."""
        others = [
            str(path.relative_to(self._folder))
            for path in self._folder.rglob("*")
            if path.is_file() and path.suffix != PARQUET_SUFFIX
        ]
        others = sorted((n for n in others if not n.startswith(".")), key=natural_key)
        reason = "files beside the Parquet files"
        return [Unused(reason, len(others), name_some(others[:1]))] if others else []
