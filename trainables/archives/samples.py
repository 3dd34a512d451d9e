"""Samples of a WebDataset: the files in an archive that share a key, such as 0001.jpg and 0001.cls.

The format is that of the webdataset library: the key of a file is its path up to the first dot of
its name, and the rest is its extension.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.archives.shards import Shard
from trainables.images import IMAGE_SUFFIXES, read_members

_TEXTS = {"class", "cls", "label", "text", "txt"}
"""Extensions of files that hold one value as text, in lower case."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one key."""

    key: str
    images: dict[str, str] = field(default_factory=dict)
    """Names of the images by their extensions, such as "jpg" or "seg.png"."""
    texts: dict[str, str] = field(default_factory=dict)
    """Names of the files with one value, by their extensions."""
    records: list[str] = field(default_factory=list)
    """Names of the JSON files."""
    others: list[str] = field(default_factory=list)
    """Names of the other files."""

    @property
    def has_labels(self) -> bool:
        """Whether files beside an image may tell its label."""
        return bool(self.images and (self.texts or self.records))


def samples_of(shard: Shard) -> list[Sample]:
    """Samples of an archive, in its order. Reads no contents."""
    by_key: dict[str, Sample] = {}
    for name in shard.members:
        folder, slash, file = name.rpartition("/")
        stem, _, extension = file.partition(".")
        key, extension = f"{folder}{slash}{stem}", extension.lower()
        sample = by_key.setdefault(key, Sample(key))
        last = extension.rpartition(".")[2]
        if f".{last}" in IMAGE_SUFFIXES:
            sample.images[extension] = name
        elif last in _TEXTS:
            sample.texts[extension] = name
        elif last == "json":
            sample.records.append(name)
        else:
            sample.others.append(name)
    return list(by_key.values())


def sample_values(archive: Path, samples: Sequence[Sample]) -> Iterator[dict[str, Any]]:
    """Yield what the files beside the images say, as values by their names, for each sample.

    A file such as "0001.cls" gives one value, called "cls"; a JSON file has several, by the names
    of its fields. Lists and objects in it are left out. "folder" is the sample's folder, if any.
    Raises `ValueError` if a JSON file is malformed.
    """
    wanted = [name for s in samples for name in (*s.texts.values(), *s.records)]
    contents = read_members(archive, wanted)
    for sample in samples:
        texts = {
            extension: next(contents).decode("utf-8", "replace").strip()
            for extension in sample.texts
        }
        fields: dict[str, Any] = {}
        for name in sample.records:
            try:
                record = json.loads(next(contents))
            except ValueError as error:
                raise ValueError(f"{archive / name} is no JSON ({error})") from None
            fields |= record if isinstance(record, dict) else {}
        folder = sample.key.rpartition("/")[0]
        plain = {k: v for k, v in fields.items() if not isinstance(v, list | dict)}
        yield ({"folder": folder} if folder else {}) | plain | texts
