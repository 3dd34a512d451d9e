"""`ScannedImage`: what a scan finds out about an image file, and the file that keeps the results.

The file is Parquet, read and written in batches: a million results need little more memory than
they take themselves.
"""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.near_copies import UNKNOWN, Appearance
from trainables.files import write_atomically
from trainables.images import FileStamp

_RESULTS_PER_BATCH = 20_000
_SCHEMA = pa.schema(
    [
        ("path", pa.binary()),
        ("stamp", pa.list_(pa.int64())),
        ("digest", pa.string()),
        ("oddity", pa.string()),
        ("pixels", pa.string()),
        ("hash", pa.binary()),
        ("thumbnail", pa.binary()),
        ("elongation", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """Result of decoding one file."""

    digest: str = ""
    """Hash of the file's bytes; empty if the image can't be read."""
    error: str = ""
    """Reason why the image can't be read; empty if it can."""
    oddity: str = ""
    """Reason why a person should look at the image; empty if there is no reason."""
    pixels: str = ""
    """Hash of the size and the RGB pixels, equal for one image in two files. A JPEG of 896 pixels
    or more on its shorter side is hashed at reduced size, so only its copies as JPEG are equal."""
    appearance: Appearance = UNKNOWN
    """Look of the image, by which near copies are found."""
    elongation: float = 1.0
    """Longer side of the image, divided by the shorter."""


Result = tuple[str, FileStamp, ScannedImage]
"""A file's path, its stamp before it was read, and what was found."""


def write_results(file: Path, results: Iterable[Result]) -> None:
    """Write the results of readable images; an ``error`` is not kept."""

    def write(partial: Path) -> None:
        remaining = iter(results)
        with pq.ParquetWriter(partial, _SCHEMA) as writer:
            while batch := list(itertools.islice(remaining, _RESULTS_PER_BATCH)):
                writer.write_batch(_record_batch(batch))

    write_atomically(file, write)


def _record_batch(results: Sequence[Result]) -> pa.RecordBatch:
    """Results as rows of `_SCHEMA`. A path is bytes, because a name need not be UTF-8."""
    rows = [
        (
            os.fsencode(path),
            stamp,
            image.digest,
            image.oddity,
            image.pixels,
            image.appearance.hash,
            image.appearance.thumbnail,
            image.elongation,
        )
        for path, stamp, image in results
    ]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=_SCHEMA)


def read_results(file: Path) -> Iterator[Result]:
    """Read the file that `write_results` wrote."""
    with pq.ParquetFile(file) as stored:
        for batch in stored.iter_batches(_RESULTS_PER_BATCH):
            columns = (column.to_pylist() for column in batch.columns)
            for path, stamp, digest, oddity, pixels, bits, thumbnail, elongation in zip(
                *columns, strict=True
            ):
                appearance = Appearance(bits, thumbnail) if bits else UNKNOWN
                image = ScannedImage(digest, "", oddity, pixels, appearance, elongation)
                yield os.fsdecode(path), tuple(stamp), image
