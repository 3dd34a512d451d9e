"""Images inside a Parquet file, as the Hugging Face Hub stores them: read there, row by row.

Parquet has no place for a row: a row group is decompressed from its beginning. Rows are therefore
kept in blocks as they are passed, so that a row group that is read in order is decompressed once,
whatever its size. A row out of order costs the decompression of the rows before it in its group.
"""

import posixpath
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from spaces import DataError
from spaces.errors import first_line
from trainables.images.container import ImageContainer
from trainables.images.image_formats import GIT_LFS_POINTER, read_head, sniff_format
from trainables.process_limits import available_cpus

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_BLOCK = 16
"""Number of rows that are kept together: those that a thread of a scan takes at a time."""
_OPEN_GROUPS = 2
"""Number of row groups that are read at the same time: threads may be on both sides of a border."""
_BUFFER_BYTES = 2**20
"""Bytes that are read from a file at a time."""


class ParquetImages(ImageContainer):
    """Images in the columns of a Parquet file that hold encoded images, as bytes or in a struct.

    The name of an image is the path that the struct gives it, such as "cat_1.jpg", if all rows have
    different ones that lead to no other folder; otherwise it is the row's number, from 0. If
    several columns hold images, the column's name comes first: "photo/12".

    Raises `DataError` if the file is damaged, or `OSError`.
    """

    def __init__(self, file: Path) -> None:
        import pyarrow.parquet as pq  # slow to import, and most data are folders

        self._file = file
        try:
            with pq.ParquetFile(file) as opened:
                self._metadata = opened.metadata
                schema = opened.schema_arrow
        except ValueError as error:  # of pyarrow, which raises a subclass of it
            raise _damaged(file, error) from None
        self.schema: pa.Schema = schema
        """Names and types of all columns."""
        self._fields = {field.name.strip(): field for field in schema if _holds_images(field.type)}
        self._missing: dict[str, dict[int, str]] = {}
        groups = range(self._metadata.num_row_groups)
        counts = (self._metadata.row_group(group).num_rows for group in groups)
        self._starts = [0, *accumulate(counts)]

    @property
    def columns(self) -> list[str]:
        """Names of the columns with images, without surrounding spaces."""
        return list(self._fields)

    @property
    def names(self) -> Collection[str]:
        """See `ImageContainer.names`. All rows of the first column, then those of the next."""
        return self._places.keys()

    def names_in(self, column: str) -> list[str]:
        """Names of the images of a column, row by row."""
        paths = self._paths(column)
        if len(set(paths)) < len(paths) or not all(map(_is_plain, paths)):
            paths = [str(row) for row in range(self._starts[-1])]
        return [f"{column}/{path}" for path in paths] if len(self._fields) > 1 else paths

    def size_bytes(self, name: str) -> int:
        """Mean size of the images in the row group of an image. See `ImageContainer.size_bytes`."""
        column, row = self._places[name]
        group = bisect_right(self._starts, row) - 1
        rows = self._starts[group + 1] - self._starts[group]
        return int(self._chunk(column, group).total_uncompressed_size // rows)

    def contents(self, names: Iterable[str]) -> Iterator[bytes]:
        """See `ImageContainer.contents`."""
        for name in names:
            column, row = self._places[name]
            content = self._content(column, row)
            if content is None:
                raise ValueError("the row holds no image")
            yield content

    def missing_in(self, column: str) -> dict[int, str]:
        """Rows of a column without bytes, and the path that each gives instead; empty if none.

        Reads the row groups that have some missing values, unless all of them are missing.
        """
        if column in self._missing:
            return self._missing[column]
        missing: list[int] = []
        for group in range(self._metadata.num_row_groups):
            rows = range(self._starts[group], self._starts[group + 1])
            statistics = self._chunk(column, group).statistics
            is_known = statistics is not None and statistics.has_null_count
            if is_known and statistics.null_count == len(rows):
                missing += rows
            elif not is_known or statistics.null_count:
                missing += [row for row in rows if self._content(column, row) is None]
        paths = self._paths(column) if missing else []
        self._missing[column] = {row: paths[row] for row in missing}
        return self._missing[column]

    def files_in(self, column: str) -> list[Path]:
        """Path of each row's image: within this file, or that of the file which the row names.

        A row without bytes names a file that may be missing, or none: see `missing_in`.
        """
        missing = self.missing_in(column)
        return [
            self._file.parent / missing[row] if missing.get(row) else self._file / name
            for row, name in enumerate(self.names_in(column))
        ]

    def rows_of(self, column: str, group: int) -> "Iterator[pa.Scalar]":
        """Yield the values of a column in a row group, decompressing no more than needed."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(
            self._file, metadata=self._metadata, buffer_size=_BUFFER_BYTES, pre_buffer=False
        ) as opened:
            for batch in opened.iter_batches(
                _ROWS_PER_BLOCK,
                row_groups=[group],
                columns=[self._fields[column].name],
                use_threads=False,
            ):
                yield from batch.column(0)

    @cached_property
    def _places(self) -> dict[str, tuple[str, int]]:
        """Column and row of each image by its name."""
        return {
            name: (column, row)
            for column in self._fields
            for row, name in enumerate(self.names_in(column))
        }

    def _paths(self, column: str) -> list[str]:
        """Paths in a column of structs; empty where there is none."""
        import pyarrow.parquet as pq

        name = self._fields[column].name
        with pq.ParquetFile(self._file, metadata=self._metadata) as opened:
            values = opened.read([f"{name}.path"]) if _has_paths(self._fields[column].type) else []
        rows = values[name].to_pylist() if values else [None] * self._starts[-1]
        return [(row or {}).get("path") or "" for row in rows]

    def _content(self, column: str, row: int) -> bytes | None:
        """Encoded image of a row; None if it has none. Raises `OSError` or `ValueError`."""
        group = bisect_right(self._starts, row) - 1
        place = _Group(self, column, group)
        value = _blocks.value(place, row - self._starts[group]).as_py()
        content: bytes | None = value["bytes"] if isinstance(value, dict) else value
        return content

    def _chunk(self, column: str, group: int) -> Any:
        """Metadata of a row group's images."""
        name = self._fields[column].name
        row_group = self._metadata.row_group(group)
        chunks = map(row_group.column, range(row_group.num_columns))
        return next(c for c in chunks if c.path_in_schema in (name, f"{name}.bytes"))


class _Group(NamedTuple):
    """Values of a column in a row group."""

    images: ParquetImages
    column: str
    number: int


class _Blocks:
    """Blocks of rows that were read last, and the row groups that are being read, in a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[_Group, int], list[pa.Scalar]] = OrderedDict()
        self._open: OrderedDict[_Group, tuple[int, Iterator[pa.Scalar]]] = OrderedDict()
        """Number of the next block, and the rows from there on, by row group."""
        self._broken: dict[_Group, tuple[int, str]] = {}
        """Number of the first block that can't be read, and why, by row group."""

    def value(self, group: _Group, row: int) -> "pa.Scalar":
        """Value of a row, counted from the beginning of the row group.

        Raises `OSError` or `ValueError` if it can't be read.
        """
        number, place = divmod(row, _ROWS_PER_BLOCK)
        with self._lock:
            if (group, number) not in self._kept:
                self._read_to(group, number)
            self._kept.move_to_end((group, number))
            return self._kept[group, number][place]

    def _read_to(self, group: _Group, number: int) -> None:
        """Read the blocks of a row group up to one, from where the last reading ended."""
        if group in self._broken and self._broken[group][0] <= number:
            raise ValueError(self._broken[group][1])
        following, rows = self._open.pop(group, (0, None))
        if rows is None or following > number:
            following, rows = 0, group.images.rows_of(group.column, group.number)
        for passed in range(following, number + 1):
            try:
                self._kept[group, passed] = list(islice(rows, _ROWS_PER_BLOCK))
            except (OSError, ValueError) as error:
                reason = f"a damaged Parquet file: {first_line(error).rstrip('.')}"
                self._broken[group] = (passed, reason)
                raise ValueError(reason) from None
            if len(self._kept) > available_cpus() + 2:
                self._kept.popitem(last=False)
        self._open[group] = (number + 1, rows)
        if len(self._open) > _OPEN_GROUPS:
            self._open.popitem(last=False)


_blocks = _Blocks()


def _holds_images(kind: "pa.DataType") -> bool:
    """Whether a column's type is bytes, or a struct of bytes and path."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in {kind.field(k).name for k in range(kind.num_fields)}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _has_paths(kind: "pa.DataType") -> bool:
    """Whether a column of images gives a path for each."""
    import pyarrow as pa

    return bool(pa.types.is_struct(kind)) and kind.get_field_index("path") >= 0


def _is_plain(path: str) -> bool:
    """Whether a path leads below a folder, and is spelled as a `Path` spells it."""
    return (
        not path.startswith(("/", "../"))
        and path not in ("", ".", "..")
        and (posixpath.normpath(path) == path)
    )


def _damaged(file: Path, error: ValueError) -> DataError:
    """Error for a file that pyarrow can't open."""
    if sniff_format(read_head(file)) == GIT_LFS_POINTER:
        return DataError(f"{file} is a Git LFS pointer, not the table; run git lfs pull.")
    reason = first_line(error).rstrip(".")
    return DataError(f"{file} can't be read as Parquet: {reason}; download it or write it again.")
