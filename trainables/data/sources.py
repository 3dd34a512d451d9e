"""Data sources: labelled images in a folder, a table, a Hugging Face dataset or an object store."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spaces import DataError
from trainables.data.huggingface import HUB_SCHEME, HuggingFaceSource
from trainables.data.listing import (
    DataSource,
    Listing,
    Row,
    SplitName,
    eval_note,
    natural_key,
    single_class_error,
    split_name,
)
from trainables.progress import Progress, ignore_progress

if TYPE_CHECKING:
    import pandas as pd

_IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
_COLUMN_NAMES = {
    "path": ("path", "image", "image_path", "filename", "file", "file_name"),
    "label": ("label", "class", "target", "category"),
    "split": ("split", "subset", "fold"),
}
"""Accepted names of each table column, in lower case and in order of preference."""


def read_source(
    data: Path | str,
    *,
    cache: Path,
    eval_is: Literal["val", "test"] = "val",
    progress: Progress = ignore_progress,
) -> Listing:
    """List the images of ``data`` without opening them.

    A `Path` is a folder, a table or a saved Hugging Face dataset. A string is an address:
    ``hf://OWNER/NAME`` on the Hugging Face Hub, or ``s3://BUCKET/PREFIX`` in an object store.
    Images from Hugging Face datasets and object stores are copied below ``cache``; every call
    updates the copy. A split called "eval" becomes ``eval_is``.

    Raises `DataError`, or `ConfigError` if an address is malformed.
    """
    source = _source_of(data.absolute() if isinstance(data, Path) else data, cache)
    return source.read(eval_is, progress)


def check_source(data: Path | str, *, cache: Path) -> None:
    """Check ``data`` quickly, without listing all of its images.

    Raises `DataError`, or `ConfigError` if an address is malformed.
    """
    _source_of(data, cache).check()


def image_files(path: Path) -> list[Path]:
    """All images below a folder, or ``path`` itself if it is a file.

    Raises `DataError` if it does not exist.
    """
    if path.is_dir():
        return list(_images_below(path, Counter()))
    if not path.exists():
        raise DataError(f"The image {str(path)!r} does not exist.")
    return [path]


def _source_of(data: Path | str, cache: Path) -> DataSource:
    """`DataSource` for ``data``. Raises `DataError` or `ConfigError` if there is none."""
    if isinstance(data, str):
        if data.startswith(HUB_SCHEME):
            return HuggingFaceSource(data, cache)
        return ObjectStoreSource(data, cache)
    if not data.exists():
        raise DataError(f"The data {str(data)!r} does not exist; give a folder, CSV or Parquet.")
    if data.is_file():
        if data.suffix.lower() in _IMAGE_SUFFIXES:
            raise DataError(f"The data {str(data)!r} is one image; give a folder, CSV or Parquet.")
        return TableSource(data)
    if (data / "dataset_dict.json").exists() or (data / "state.json").exists():
        return HuggingFaceSource(data, cache)
    return FolderSource(data)


class FolderSource(DataSource):
    """A folder per class, or train/val/test folders with a folder per class in each."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ignored: Counter[str] = Counter()

    def check(self) -> None:
        """See `DataSource.check`. The folder needs two class folders, or a split folder."""
        self._subfolders()

    def read(self, eval_is: Literal["val", "test"], progress: Progress) -> Listing:
        """See `DataSource.read`."""
        folders = self._subfolders()
        splits = {folder: split_name(folder.name, eval_is) for folder in folders}
        self._ignored = Counter(
            "hidden folders" for p in self._root.iterdir() if p.is_dir() and _is_hidden(p)
        )
        if "train" in splits.values():
            kind = "/".join(f.name for f in folders) + " folders, a folder per class in each"
            rows = self._rows_by_split(splits)
        else:
            kind = "a folder per class"
            rows = self._rows_by_class(folders)
        if not rows:
            raise self._no_images_error()
        notes = (eval_note(eval_is),) if any(f.name.lower() == "eval" for f in folders) else ()
        ignored = {reason: count for reason, count in self._ignored.items() if count}
        return Listing(self._root, kind, tuple(rows), ignored, notes)

    def _subfolders(self) -> list[Path]:
        """Subfolders of the root, by name. Raises `DataError` if they can't be classes."""
        folders = [p for p in sorted(self._root.iterdir()) if p.is_dir() and not _is_hidden(p)]
        if not folders:
            raise self._no_images_error()
        if len(folders) == 1 and split_name(folders[0].name, "val") is None:
            raise single_class_error(folders[0].name)
        return folders

    def _rows_by_split(self, splits: dict[Path, SplitName | None]) -> list[Row]:
        others = [folder.name for folder, split in splits.items() if split is None]
        if others:
            raise DataError(
                f"{self._root} has split folders and also {', '.join(others)}; "
                "keep only train, val and test there, or one folder per class."
            )
        rows: list[Row] = []
        for folder, split in splits.items():
            for label in sorted(folder.iterdir()):
                if label.is_dir() and not _is_hidden(label):
                    images = _images_below(label, self._ignored)
                    rows += [Row(path, label.name, split) for path in images]
                else:
                    reason = "hidden folders" if label.is_dir() else "files outside classes"
                    self._ignored[reason] += 1
        return rows

    def _rows_by_class(self, folders: Sequence[Path]) -> list[Row]:
        self._refuse_unknown_splits(folders)
        rows: list[Row] = []
        for folder in folders:
            rows += [Row(path, folder.name) for path in _images_below(folder, self._ignored)]
        self._ignored["files outside classes"] += sum(p.is_file() for p in self._root.iterdir())
        return rows

    def _refuse_unknown_splits(self, folders: Sequence[Path]) -> None:
        """Raise `DataError` if all folders have the same subfolders, as splits have."""
        inner = [{p.name for p in folder.iterdir() if p.is_dir()} for folder in folders]
        if len(folders) > 1 and inner[0] and all(names == inner[0] for names in inner):
            raise DataError(
                f"The folders {', '.join(f.name for f in folders)} of {self._root} have the same "
                "subfolders; if they are splits, call them train, val and test."
            )

    def _no_images_error(self) -> DataError:
        return DataError(
            f"No images were found in {self._root}; it needs a folder per class, "
            "or train/val/test with a folder per class in each."
        )


class TableSource(DataSource):
    """A CSV or Parquet table with the path, label and (optional) split of one image per row.

    Relative paths start at the table's own folder.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self) -> None:
        """Do nothing, because reading the table is as quick as checking it."""

    def read(self, eval_is: Literal["val", "test"], progress: Progress) -> Listing:
        """See `DataSource.read`."""
        import pandas as pd  # slow to import, and most data are folders

        table = self._load()
        columns = self._columns(table)
        splits: list[SplitName | None] = [None] * len(table)
        notes: tuple[str, ...] = ()
        if columns["split"] is not None:
            names = [str(value) for value in table[columns["split"]]]
            splits = self._splits(names, eval_is)
            if any(name.strip().lower() == "eval" for name in names):
                notes = (eval_note(eval_is),)
        paths = [self._file.parent / str(value) for value in table[columns["path"]]]
        values = table[columns["label"]]
        labels = ["" if pd.isna(value) else str(value).strip() for value in values]
        if "" in labels:
            raise DataError(
                f"{self._file} has {labels.count('')} rows without a label; fill or drop them."
            )
        if not labels:
            raise DataError(f"{self._file} has no rows.")
        rows = tuple(map(Row, paths, labels, splits))
        return Listing(self._file.parent, f"a table of {len(rows)} rows", rows, notes=notes)

    def _load(self) -> "pd.DataFrame":
        import pandas as pd

        try:
            if self._file.suffix == ".parquet":
                return pd.read_parquet(self._file)
            return pd.read_csv(self._file, dtype=str, keep_default_na=False)
        except (ValueError, OSError) as error:
            raise DataError(f"{self._file} can't be read as a table: {error}.") from None

    def _columns(self, table: "pd.DataFrame") -> dict[str, str | None]:
        """Names of the "path", "label" and "split" columns. "split" may be None."""
        by_lower = {str(column).lower(): column for column in table.columns}
        columns = {
            role: next((by_lower[name] for name in names if name in by_lower), None)
            for role, names in _COLUMN_NAMES.items()
        }
        for role in ("path", "label"):
            if columns[role] is None:
                raise DataError(
                    f"{self._file} has the columns {', '.join(map(str, table.columns))}; "
                    f"it needs one called {role!r} (or {', '.join(_COLUMN_NAMES[role][1:])})."
                )
        return columns

    def _splits(
        self, names: Sequence[str], eval_is: Literal["val", "test"]
    ) -> list[SplitName | None]:
        splits = [split_name(name, eval_is) for name in names]
        unknown = {name for name, split in zip(names, splits, strict=True) if split is None}
        if unknown:
            raise DataError(
                f"{self._file} has the splits {', '.join(map(repr, sorted(unknown)))}; "
                "call them train, val and test."
            )
        return splits


class ObjectStoreSource(DataSource):
    """A folder or a table in an object store. It is copied below the cache and read from there.

    Raises `ConfigError` if the address is malformed.
    """

    def __init__(self, address: str, cache: Path) -> None:
        from trainables.data.object_store import RemoteData  # slow to import; most data are local

        self._address, self._cache = address, cache
        self._remote = RemoteData(address, cache)

    def check(self) -> None:
        """See `DataSource.check`. The address must exist."""
        self._remote.check()

    def read(self, eval_is: Literal["val", "test"], progress: Progress) -> Listing:
        """See `DataSource.read`. Updates the local copy first."""
        self._remote.synchronize(progress)
        copy = self._remote.local_path
        try:
            listing = read_source(copy, cache=self._cache, eval_is=eval_is)
        except DataError as error:
            raise DataError(str(error).replace(str(copy), self._address)) from None
        if copy.is_file():
            self._remote.synchronize_images([row.path for row in listing.rows], progress)
        return listing


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _images_below(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Images at any depth below ``folder``, by name. Counts skipped files in ``ignored``."""
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if _is_hidden(path):
            ignored["hidden folders" if path.is_dir() else "hidden files"] += 1
        elif path.is_dir():
            yield from _images_below(path, ignored)
        elif path.suffix.lower() in _IMAGE_SUFFIXES:
            yield path
        else:
            ignored["files that are not images"] += 1
