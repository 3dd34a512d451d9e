"""`TableSource`: a CSV or Parquet table with one image per row."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from spaces import DataError
from spaces.wording import counted, shorten
from trainables.listing import DataSource, Listing, ReadOptions, SplitName
from trainables.progress import Progress
from trainables.tables.columns import Columns, choice_error, choose_columns, is_id_name
from trainables.tables.extracted_images import extract_image
from trainables.tables.parquet_file import embedded_images
from trainables.tables.paths import FileFinder, LocatedImages, locate_images, paths_as_written
from trainables.tables.rows import (
    LabelledRow,
    LabelledRows,
    describe_columns,
    labelled_rows,
    without_ignored,
    without_repeats,
)
from trainables.tables.table import Table, read_table

_CHECKED_IDS = 100
"""Number of rows in which a column of ids is compared with the column of images."""


class TableSource(DataSource):
    """A CSV or Parquet table with the image, label and (optional) split of one image per row.

    Relative paths start at the table's own folder, or at a folder one step away. Images inside a
    Parquet table are extracted below ``cache``. ``split`` is that of all rows, if known. With
    ``is_remote``, the files that the table lists are not on this machine yet.
    """

    def __init__(
        self, file: Path, cache: Path, *, split: SplitName | None = None, is_remote: bool = False
    ) -> None:
        self._file, self._cache, self._split, self._is_remote = file, cache, split, is_remote

    def check(self, options: ReadOptions) -> Listing | None:
        """See `DataSource.check`. Reads the whole table, but extracts no image from it."""
        table, columns, labelled = self._labelled(options)
        is_embedded = columns.image in table.embedded
        return None if is_embedded else self._listing(table, columns, labelled, options)

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        return self._listing(*self._labelled(options), options)

    def _listing(
        self, table: Table, columns: Columns, labelled: LabelledRows, options: ReadOptions
    ) -> Listing:
        """Listing of the labelled rows' images."""
        located = self._locate(table, columns, options, labelled.rows)
        rows, repeated = without_repeats(located.paths, labelled.rows, self._file)
        return Listing(
            located.root,
            f"a table of {counted(len(table.frame), 'row')} ({describe_columns(columns)})",
            tuple(rows),
            (*labelled.unused, *repeated),
            (*labelled.notes, *([located.note] if located.note else [])),
        )

    def _labelled(self, options: ReadOptions) -> tuple[Table, Columns, LabelledRows]:
        """The table, its columns, and the rows with a label that ``options.ignore`` leaves."""
        # 1. Read the table, and choose its columns.
        table = read_table(self._file)
        if not len(table.frame):
            raise DataError(f"{self._file} has no rows; write one for each image.")
        columns = choose_columns(table, options, self._file, has_split=self._split is not None)
        # 2. Read labels and splits.
        labelled = labelled_rows(
            table, columns, self._file, split=self._split, eval_is=options.eval_is
        )
        # 3. Leave out what is to be ignored, by its path in the table.
        if options.ignore and columns.image not in table.embedded:
            labelled = without_ignored(labelled, table.texts(columns.image), options.ignore)
        return table, columns, labelled

    def _locate(
        self, table: Table, columns: Columns, options: ReadOptions, kept: Sequence[LabelledRow]
    ) -> LocatedImages:
        """Image files of the labelled rows; images inside the table are extracted."""
        is_embedded = columns.image in table.embedded
        if options.image_root and (is_embedded or self._is_remote):
            where = "inside the table" if is_embedded else "in an object store"
            raise DataError(f"The images of {self._file} are {where}; leave out --image-root.")
        if is_embedded:
            return self._extract(columns.image, kept)
        texts = table.texts(columns.image)
        values = [texts[row.number] for row in kept]
        if self._is_remote:
            return LocatedImages(self._file.parent, paths_as_written(values, self._file.parent))
        located = locate_images(values, self._file, self._file.parent, options.image_root)
        if options.image_column is None:
            self._refuse_other_ids(table, columns, kept, located)
        return located

    def _extract(self, column: str, kept: Sequence[LabelledRow]) -> LocatedImages:
        """Extract the labelled rows' images to a folder that is named for the table's state."""
        stat = self._file.stat()
        state = f"{self._file} {stat.st_size} {stat.st_mtime_ns} {column}"
        root = self._cache / "parquet"
        folder = root / blake2b(state.encode(errors="surrogateescape"), digest_size=12).hexdigest()
        wanted = {row.number for row in kept}
        paths = [
            self._image_file(content, path, folder, number)
            for number, (content, path) in enumerate(embedded_images(self._file, column))
            if number in wanted
        ]
        return LocatedImages(root, paths)

    def _image_file(
        self, content: bytes | None, path: str | None, folder: Path, number: int
    ) -> Path:
        """File of one image, which the table holds or names."""
        if content:
            return extract_image(content, folder, number)
        if path and (self._file.parent / path).is_file():
            return self._file.parent / path
        lost = f", and its file {shorten(path)!r} does not exist" if path else ""
        raise DataError(f"Row {number + 1} of {self._file} holds no image{lost}; mend or drop it.")

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
                raise choice_error("the images", both, "--image-column", self._file, table)
