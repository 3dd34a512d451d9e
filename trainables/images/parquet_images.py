"""Images inside a Parquet file, as the Hugging Face Hub stores them: read there, row by row."""

import posixpath
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from spaces import DataError
from spaces.errors import first_line
from trainables.images.container import ImageContainer
from trainables.images.image_formats import GIT_LFS_POINTER, read_head, sniff_format
from trainables.images.parquet_groups import RowGroup

if TYPE_CHECKING:
    import pyarrow as pa


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
        self._names: dict[str, list[str]] = {}
        self._missing: dict[str, dict[int, str]] = {}
        numbers = range(self._metadata.num_row_groups)
        counts = (self._metadata.row_group(number).num_rows for number in numbers)
        self._starts: list[int] = [0, *accumulate(counts)]
        self._groups = {
            column: [RowGroup(file, self._metadata, field.name, number) for number in numbers]
            for column, field in self._fields.items()
        }

    @property
    def columns(self) -> list[str]:
        """Names of the columns with images, without surrounding spaces."""
        return list(self._fields)

    @property
    def names(self) -> Collection[str]:
        """See `ImageContainer.names`. All rows of the first column, then those of the next."""
        return self._places.keys()

    def names_in(self, column: str) -> list[str]:
        """Names of the images of a column, row by row. They are read once."""
        if column not in self._names:
            paths = self._paths(column)
            if len(set(paths)) < len(paths) or not all(map(_is_plain, paths)):
                paths = [str(row) for row in range(self._starts[-1])]
            several = len(self._fields) > 1
            self._names[column] = [f"{column}/{path}" for path in paths] if several else paths
        return self._names[column]

    def size_bytes(self, name: str) -> int:
        """Mean size of the images in the row group of an image. See `ImageContainer.size_bytes`."""
        column, row = self._places[name]
        number = bisect_right(self._starts, row) - 1
        rows = self._starts[number + 1] - self._starts[number]
        return self._groups[column][number].size_bytes // rows

    def contents(self, names: Iterable[str]) -> Iterator[bytes]:
        """See `ImageContainer.contents`."""
        for name in names:
            column, row = self._places[name]
            number = bisect_right(self._starts, row) - 1
            content = self._groups[column][number].content(row - self._starts[number])
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
        for number, group in enumerate(self._groups[column]):
            rows = range(self._starts[number], self._starts[number + 1])
            if group.missing_count == len(rows):
                missing += rows
            elif group.missing_count != 0:
                missing += [r for r in rows if group.content(r - rows.start) is None]
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
