"""Parquet files of the Hugging Face Hub: names of classes, and images inside the table."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_AT_ONCE = 256
"""Number of images that are in memory at the same time."""


def is_parquet(file: Path) -> bool:
    """Whether a file's content is Parquet."""
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


@dataclass(frozen=True)
class ParquetContent:
    """All columns of a Parquet file but those with images inside."""

    frame: "pd.DataFrame"
    embedded: list[str]
    """Names of the columns with images inside."""
    classes: list[str]
    """Names of the ``ClassLabel`` columns."""


def read_parquet(file: Path) -> ParquetContent:
    """Read the columns of a Parquet file. Raises `ValueError` or `OSError`.

    The numbers of a ``ClassLabel`` column become the names in the file's Hugging Face metadata;
    numbers below 0 become None.
    """
    import pandas as pd  # slow to import, as pyarrow is, and most data are folders
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    embedded = [field.name for field in schema if _holds_images(field.type)]
    others = [name for name in schema.names if name not in embedded]
    frame = pq.read_table(file, columns=others).to_pandas(integer_object_nulls=True)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # a named index, which pandas wrote as a column
    if not others:
        frame = pd.DataFrame(index=range(pq.read_metadata(file).num_rows))
    by_column = {c: names for c, names in _class_names(schema).items() if c in frame.columns}
    for column, names in by_column.items():
        frame[column] = class_labels(frame[column].tolist(), names)
    return ParquetContent(frame, embedded, list(by_column))


def class_labels(numbers: Sequence[Any], names: Sequence[str]) -> list[str | None]:
    """Names of classes by their numbers; None if a number is missing or below 0.

    Raises `ValueError` if a class has no name.
    """
    labels: list[str | None] = []
    for number in numbers:
        if number is None or number != number or number < 0:
            labels.append(None)
        elif number >= len(names):
            raise ValueError(f"class {number} has no name among its {len(names)} classes")
        else:
            labels.append(names[int(number)])
    return labels


def embedded_images(file: Path, column: str) -> Iterator[tuple[bytes | None, str | None]]:
    """Content and path of each row's image in a column with images inside."""
    import pyarrow.parquet as pq

    names = {name.strip(): name for name in pq.read_schema(file).names}
    name = names[column]
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=[name]):
            for value in batch.column(0).to_pylist():
                if isinstance(value, dict):
                    yield value.get("bytes"), value.get("path")
                else:
                    yield value, None


def _holds_images(kind: "pa.DataType") -> bool:
    """Whether a column's type is bytes, or a struct of bytes and path."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in {kind.field(k).name for k in range(kind.num_fields)}
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _class_names(schema: "pa.Schema") -> dict[str, list[str]]:
    """Names of the classes by ``ClassLabel`` column; empty without Hugging Face metadata."""
    stored = (schema.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(stored).get("info", {}).get("features", {})
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
