"""`TableSource`: a CSV or Parquet table with one image per row, which may be in several files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, shorten
from trainables.images import PARQUET_SUFFIX, ParquetImages
from trainables.listing import (
    DataSource,
    IgnorePatterns,
    Listing,
    ReadOptions,
    SplitName,
    relative_path,
)
from trainables.progress import Progress, ignore_progress
from trainables.tables.column_names import is_id_name
from trainables.tables.columns import Columns, choice_error, choose_columns
from trainables.tables.file_finder import FileFinder
from trainables.tables.group_column import group_column_note
from trainables.tables.paths import LocatedImages, locate_images, paths_as_written
from trainables.tables.rows import (
    LabelledRow,
    describe_columns,
    idle_notes,
    labelled_rows,
    without_ignored,
    without_repeats,
)
from trainables.tables.table import Table, join_tables, read_table

_CHECKED_IDS = 100
"""Number of rows in which a column of ids is compared with the column of images."""


class TableSource(DataSource):
    """A table with the image, label and (optional) split of one image per row.

    It is a CSV or Parquet file, or several Parquet ``files`` below the folder ``data``, whose rows
    follow one another. Relative paths start at the folder of the (first) file, or at a folder one
    step away. Images inside a Parquet file are read there. ``split`` is that of all rows, if known.
    With ``is_remote``, the files that the table lists are not on this machine yet.
    """

    def __init__(
        self,
        data: Path,
        files: Sequence[Path] = (),
        *,
        split: SplitName | None = None,
        is_remote: bool = False,
    ) -> None:
        self._data, self._files = data, tuple(files) or (data,)
        self._split, self._is_remote = split, is_remote

    def check(self, options: ReadOptions) -> Listing:
        """See `DataSource.check`. Reads the whole table, except images inside it."""
        return self.read(options, ignore_progress)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        ignore = IgnorePatterns(options.ignore)
        listing = self.list_rows(options, ignore)
        return replace(listing, notes=(*listing.notes, *idle_notes(ignore)))

    def list_rows(self, options: ReadOptions, ignore: IgnorePatterns) -> Listing:
        """List the rows that no pattern matches, as `read` does. Patterns are not reported."""
        # 1. Read the table, and choose its columns.
        table = join_tables([read_table(file) for file in self._files], self._files)
        if not len(table.frame):
            raise DataError(f"{self._data} has no rows; write one for each image.")
        columns = choose_columns(table, options, self._data, has_split=self._split is not None)
        # 2. Read labels and splits.
        labelled = labelled_rows(
            table, columns, self._data, split=self._split, eval_is=options.eval_is
        )
        # 3. Leave out what is to be ignored, by its path in the table.
        is_inside = columns.image in table.embedded
        inside = [self._open(file) for file in self._files] if is_inside else []
        names = self._names(inside, columns.image) if inside else table.texts(columns.image)
        labelled = without_ignored(labelled, names, ignore)
        # 4. Find the images.
        if options.image_root and (is_inside or self._is_remote):
            where = "inside it" if is_inside else "in an object store"
            raise DataError(f"The images of {self._data} are {where}; leave out --image-root.")
        if is_inside:
            located = self._locate_inside(inside, columns.image, labelled.rows, names)
        else:
            located = self._locate(table, columns, options, labelled.rows)
        rows, repeated = without_repeats(located.paths, labelled.rows, self._data)
        classes = len({row.label for row in labelled.rows})
        grouping = group_column_note(table, columns, classes=classes)
        return Listing(
            located.root,
            f"a table of {counted(len(table.frame), 'row')} ({describe_columns(columns)})",
            tuple(rows),
            (*labelled.unused, *repeated),
            (*labelled.notes, *filter(None, [located.note, grouping])),
        )

    def _open(self, file: Path) -> ParquetImages:
        """Parquet file with images. Raises `DataError` if its name does not say what it is."""
        if file.suffix.lower() != PARQUET_SUFFIX:
            raise DataError(
                f"{file} has images inside, which are read only from files called "
                f"{PARQUET_SUFFIX}; rename it to {file.stem}{PARQUET_SUFFIX}."
            )
        return ParquetImages(file)

    def _names(self, inside: Sequence[ParquetImages], column: str) -> list[str]:
        """Paths of the images inside the files, relative to ``data``, row by row."""
        return [
            relative_path(file / name, self._data)
            for file, images in zip(self._files, inside, strict=True)
            for name in images.names_in(column)
        ]

    def _locate_inside(
        self,
        inside: Sequence[ParquetImages],
        column: str,
        kept: Sequence[LabelledRow],
        names: Sequence[str],
    ) -> LocatedImages:
        """Images inside the files. Raises `DataError` if a labelled row has none."""
        paths: list[Path] = []
        missing: dict[int, str] = {}
        for images in inside:
            missing |= {len(paths) + row: path for row, path in images.missing_in(column).items()}
            paths += images.files_in(column)
        lost = [row.number for row in kept if row.number in missing]
        lost = [number for number in lost if not (missing[number] and paths[number].is_file())]
        if lost:
            named = missing[lost[0]]
            gone = f", whose file {shorten(named)!r} does not exist" if named else ""
            raise DataError(
                f"{self._data} has {counted(len(lost), 'row')} without an image, such as "
                f"{names[lost[0]]}{gone}; leave them out with --ignore {names[lost[0]]!r}, or "
                "write the table anew with all images inside."
            )
        return LocatedImages(self._data, [paths[row.number] for row in kept])

    def _locate(
        self, table: Table, columns: Columns, options: ReadOptions, kept: Sequence[LabelledRow]
    ) -> LocatedImages:
        """Image files of the labelled rows."""
        folder = self._files[0].parent
        texts = table.texts(columns.image)
        values = [texts[row.number] for row in kept]
        if self._is_remote:
            return LocatedImages(folder, paths_as_written(values, folder))
        located = locate_images(values, self._data, folder, options.image_root)
        if options.image_column is None:
            self._refuse_other_ids(table, columns, kept, located)
        return located

    def _refuse_other_ids(
        self, table: Table, columns: Columns, kept: Sequence[LabelledRow], located: LocatedImages
    ) -> None:
        """Raise `DataError` if a column of ids names other images than the image column does."""
        finder = FileFinder()
        pairs = list(zip(located.paths, kept, strict=True))[:_CHECKED_IDS]
        for name in table.frame.columns:
            if name in columns.used or not is_id_name(name):
                continue
            ids = table.texts(name)
            found = [finder.find(path.parent, ids[row.number] or "?") for path, row in pairs]
            if all(found) and any(p not in f for (p, _), f in zip(pairs, found, strict=True)):
                both = [columns.image, name]
                raise choice_error("the images", both, "--image-column", self._data, table)
