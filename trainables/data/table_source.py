"""`TableSource`: a CSV or Parquet table with one image per row."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from spaces import DataError
from trainables.data.listing import (
    DataSource,
    Listing,
    ReadOptions,
    Row,
    SplitName,
    eval_note,
    split_name,
)
from trainables.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

_COLUMN_NAMES = {
    "path": ("path", "image", "image_path", "filename", "file", "file_name"),
    "label": ("label", "class", "target", "category"),
    "split": ("split", "subset", "fold"),
}
"""Accepted names of each table column, in lower case and in order of preference."""


class TableSource(DataSource):
    """A CSV or Parquet table with the path, label and (optional) split of one image per row.

    Relative paths start at the table's own folder.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def check(self, options: ReadOptions) -> None:
        """Do nothing, because reading the table is as quick as checking it."""

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        import pandas as pd  # slow to import, and most data are folders

        table = self._load()
        columns = self._columns(table)
        splits: list[SplitName | None] = [None] * len(table)
        notes: tuple[str, ...] = ()
        if columns["split"] is not None:
            names = [str(value) for value in table[columns["split"]]]
            splits = self._splits(names, options.eval_is)
            if any(name.strip().lower() == "eval" for name in names):
                notes = (eval_note(options.eval_is),)
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
