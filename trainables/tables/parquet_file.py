"""Parquet files, as the Hugging Face Hub has them: their columns, and the names of classes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.images import ParquetImages

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


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
    """Read the columns of a Parquet file. Raises `DataError`, `ValueError` or `OSError`.

    The numbers of a ``ClassLabel`` column become the names in the file's Hugging Face metadata;
    numbers below 0 become None.
    """
    import pandas as pd  # slow to import, as pyarrow is, and most data are folders
    import pyarrow.parquet as pq

    images = ParquetImages(file)
    others = [name for name in images.schema.names if name.strip() not in images.columns]
    frame = pq.read_table(file, columns=others).to_pandas(integer_object_nulls=True)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()  # a named index, which pandas wrote as a column
    if not others:
        frame = pd.DataFrame(index=range(pq.read_metadata(file).num_rows))
    by_column = {c: names for c, names in _class_names(images.schema).items() if c in frame.columns}
    for column, names in by_column.items():
        frame[column] = class_labels(frame[column].tolist(), names)
    return ParquetContent(frame, images.columns, list(by_column))


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


def _class_names(schema: "pa.Schema") -> dict[str, list[str]]:
    """Names of the classes by ``ClassLabel`` column; empty without Hugging Face metadata."""
    stored = (schema.metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(stored).get("info", {}).get("features", {})
    return {
        column: feature["names"]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
