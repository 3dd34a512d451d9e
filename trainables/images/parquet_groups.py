"""Row groups of a Parquet file with images: the place of each image, or blocks of rows.

A row group that is not compressed, as release 5 of the datasets library writes images, is read once
to find the place of each image; every image then is one range of bytes. In a compressed row group
an image has no place, because it is decompressed from the group's beginning. Rows are therefore
kept in blocks as they are passed, so that a row group that is read in order is decompressed once,
whatever its size. A row out of order costs the decompression of the rows before it in its group.
"""

import mmap
import os
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from spaces.errors import first_line
from trainables.process_limits import available_cpus

_ROWS_PER_BLOCK = 16
"""Number of rows that are kept together: those that a thread of a scan takes at a time."""
_OPEN_GROUPS = 2
"""Number of row groups that are read at the same time: threads may be on both sides of a border."""
_BUFFER_BYTES = 2**20
"""Bytes that are read from a file at a time."""


class Range(NamedTuple):
    """Place of an image in a file, in bytes."""

    offset: int
    size: int


class RowGroup:
    """Images of a column in a row group of a Parquet file.

    Args:
        file: The Parquet file.
        metadata: That of the file, as pyarrow gives it.
        column: Name of the column: of bytes, or of structs with bytes.
        number: Number of the row group in the file.
    """

    def __init__(self, file: Path, metadata: Any, column: str, number: int) -> None:
        self._file, self._metadata, self._column, self._number = file, metadata, column, number
        self._lock = Lock()

    @cached_property
    def size_bytes(self) -> int:
        """Size of all images, decompressed."""
        return int(self._chunk.total_uncompressed_size)

    @cached_property
    def missing_count(self) -> int | None:
        """Number of rows without bytes; None if the file does not say."""
        statistics = self._chunk.statistics
        is_known = statistics is not None and statistics.has_null_count
        return int(statistics.null_count) if is_known else None

    def content(self, row: int) -> bytes | None:
        """Encoded image of a row, counted from the beginning of the group; None if it has none.

        Raises `OSError` or `ValueError` if it can't be read.
        """
        with self._lock:  # the first caller finds the places
            ranges = self._ranges
        if ranges is None:
            return _blocks.content(self, row)
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(descriptor, ranges[row].size, ranges[row].offset)
        finally:
            os.close(descriptor)
        if len(content) < ranges[row].size:
            raise ValueError("its Parquet file is cut off")
        return content

    def contents(self) -> Iterator[bytes | None]:
        """Yield the encoded image of each row, decompressing no more than needed."""
        import pyarrow.parquet as pq  # slow to import, and most data are folders

        with pq.ParquetFile(
            self._file, metadata=self._metadata, buffer_size=_BUFFER_BYTES, pre_buffer=False
        ) as opened:
            for batch in opened.iter_batches(
                _ROWS_PER_BLOCK,
                row_groups=[self._number],
                columns=[self._chunk.path_in_schema],
                use_threads=False,
            ):
                for value in batch.column(0).to_pylist():
                    yield value["bytes"] if isinstance(value, dict) else value

    @cached_property
    def _chunk(self) -> Any:
        """Metadata of the images."""
        group = self._metadata.row_group(self._number)
        names = (self._column, f"{self._column}.bytes")
        chunks = map(group.column, range(group.num_columns))
        return next(chunk for chunk in chunks if chunk.path_in_schema in names)

    @cached_property
    def _ranges(self) -> list[Range] | None:
        """Place of each image in the file; None if some image has none.

        Values follow one another in a group, each after its length, so each is looked for behind
        the last one. What is found has the same bytes, wherever it is.
        """
        chunk = self._chunk
        if chunk.compression != "UNCOMPRESSED" or self.missing_count:
            return None
        place = chunk.dictionary_page_offset or chunk.data_page_offset
        end = place + chunk.total_compressed_size
        ranges = []
        with (
            self._file.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            try:
                for content in self.contents():
                    if content is None:
                        return None
                    place = mapped.find(len(content).to_bytes(4, "little") + content, place, end)
                    if place < 0:
                        return None
                    ranges.append(Range(place + 4, len(content)))
                    place += 4 + len(content)
            except (OSError, ValueError):  # the images before the damage are read in blocks
                return None
        return ranges


class _Blocks:
    """Blocks of rows that were read last, and the row groups that are being read, in a process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[RowGroup, int], list[bytes | None]] = OrderedDict()
        self._open: OrderedDict[RowGroup, tuple[int, Iterator[bytes | None]]] = OrderedDict()
        """Number of the next block, and the rows from there on, by row group."""
        self._broken: dict[RowGroup, tuple[int, str]] = {}
        """Number of the first block that can't be read, and why, by row group."""

    def content(self, group: RowGroup, row: int) -> bytes | None:
        """See `RowGroup.content`."""
        number, place = divmod(row, _ROWS_PER_BLOCK)
        with self._lock:
            if (group, number) not in self._kept:
                self._read_to(group, number)
            self._kept.move_to_end((group, number))
            return self._kept[group, number][place]

    def _read_to(self, group: RowGroup, number: int) -> None:
        """Read the blocks of a row group up to one, from where the last reading ended."""
        if group in self._broken and self._broken[group][0] <= number:
            raise ValueError(self._broken[group][1])
        following, rows = self._open.pop(group, (0, None))
        if rows is None or following > number:
            following, rows = 0, group.contents()
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
