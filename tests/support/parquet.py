"""Parquet files of small images, as the Hugging Face Hub stores them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.archives import image_bytes

ROWS_PER_GROUP = 20
"""More than a block of rows, so that groups have several blocks."""


def write_shard(
    file: Path,
    images: Sequence[bytes | None],
    labels: Sequence[int | str | None] | None = None,
    *,
    paths: Sequence[str | None] | None = None,
    classes: Sequence[str] = (),
    columns: Sequence[str] = ("image",),
    **options: Any,
) -> Path:
    """Write a Parquet file with these images in each of ``columns``, and return its path.

    Without ``paths``, the images have none. The labels are numbers of ``classes``, or names.
    ``options`` are those of pyarrow.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    names = paths or [None] * len(images)
    values = [
        None if content is None and path is None else {"bytes": content, "path": path}
        for content, path in zip(images, names, strict=True)
    ]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    data: dict[str, Any] = {column: pa.array(values, struct) for column in columns}
    features: dict[str, Any] = {column: {"_type": "Image"} for column in columns}
    if labels is not None:
        data["label"] = labels
    if classes:
        features["label"] = {"_type": "ClassLabel", "names": list(classes)}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table(data).replace_schema_metadata(metadata)
    pq.write_table(table, file, **{"row_group_size": ROWS_PER_GROUP, **options})
    return file


def hub_table(file: Path, labels: Sequence[int | None], *columns: str) -> Path:
    """Write a Parquet file of small images, the colour of each its row, of the classes cat, dog."""
    images = [image_bytes(row) for row in range(len(labels))]
    paths = [f"{row}.png" for row in range(len(labels))]
    named = columns or ("image",)
    return write_shard(file, images, labels, paths=paths, classes=("cat", "dog"), columns=named)
