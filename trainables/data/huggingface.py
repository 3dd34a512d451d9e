"""Hugging Face image datasets, from disk or from the Hub. Needs ``finesweep[hf]``."""

import io
import logging
import re
from pathlib import Path
from typing import Any

from PIL import Image

from spaces import DataError
from spaces.errors import first_line
from trainables.data.listing import (
    DataSource,
    Listing,
    ReadOptions,
    Row,
    SplitName,
    eval_note,
    split_name,
)
from trainables.progress import Progress

HUB_SCHEME = "hf://"
"""Prefix of a dataset's address: ``hf://OWNER/NAME``, or ``hf://OWNER/NAME@REVISION``."""


class HuggingFaceSource(DataSource):
    """An image dataset with an ``Image`` column and a ``ClassLabel`` column.

    ``data`` is a folder written by ``save_to_disk``, or an address on the Hub. The images lie
    inside Arrow files. `read` extracts them to files below ``cache``, without re-encoding them.
    """

    def __init__(self, data: Path | str, cache: Path) -> None:
        self._data, self._cache = data, cache

    def check(self, options: ReadOptions) -> None:
        """See `DataSource.check`. An address must be well formed, and ``datasets`` installed."""
        if isinstance(self._data, Path):
            return
        if not re.fullmatch(rf"{HUB_SCHEME}[^@]*[^@/](@[^@]+)?", self._data):
            raise DataError(
                f"A Hugging Face address is {HUB_SCHEME}OWNER/NAME or "
                f"{HUB_SCHEME}OWNER/NAME@REVISION, not {self._data!r}."
            )
        self._library()

    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """See `DataSource.read`."""
        loaded = self._load()
        parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
        rows: list[Row] = []
        for name, part in parts.items():
            split = split_name(name, options.eval_is) if name else None
            if name and split is None:
                raise DataError(
                    f"{self._data} has the split {name!r}; call its splits train, val and test."
                )
            rows += self._extract_images(part, split)
        notes = (eval_note(options.eval_is),) if "eval" in parts else ()
        return Listing(self._cache, "a Hugging Face dataset", tuple(rows), notes=notes)

    def _library(self) -> Any:
        """Import ``datasets``, which takes a second. Raises `DataError` if it is not installed."""
        try:
            import datasets
        except ImportError:
            raise DataError(
                f"{self._data} is a Hugging Face dataset; pip install 'finesweep[hf]' to read it."
            ) from None
        return datasets

    def _load(self) -> Any:
        """``Dataset`` or ``DatasetDict``, from disk, the library's cache or the network."""
        if isinstance(self._data, Path):
            return self._library().load_from_disk(str(self._data))
        name, _, revision = self._data.removeprefix(HUB_SCHEME).partition("@")
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # hides a line per retry
        try:
            return self._library().load_dataset(name, revision=revision or None)
        except (OSError, ValueError) as error:  # missing, gated, offline, or ambiguous
            raise DataError(
                f"The dataset {self._data} can't be loaded ({first_line(error)}); check its name, "
                "log in if it is private, or save it with save_to_disk and give that folder."
            ) from None

    def _extract_images(self, part: Any, split: SplitName | None) -> list[Row]:
        """Write one split's images below the cache, unless they are there. Returns their rows."""
        datasets = self._library()
        features = part.features
        images = [n for n, f in features.items() if isinstance(f, datasets.Image)]
        labels = [n for n, f in features.items() if isinstance(f, datasets.ClassLabel)]
        if not images or not labels:
            raise DataError(
                f"{self._data} has the columns {', '.join(features)}; "
                "it needs an Image column and a ClassLabel column."
            )
        names = features[labels[0]].names
        encoded = part.cast_column(images[0], datasets.Image(decode=False))
        folder = self._cache / "hf" / part._fingerprint
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, example in enumerate(encoded):
            image = example[images[0]]
            content = image["bytes"] or Path(image["path"]).read_bytes()
            path = folder / f"{number:07d}.{_extension(content)}"
            if not path.exists() or path.stat().st_size != len(content):
                path.write_bytes(content)
            label = example[labels[0]]
            if label is None or label < 0:
                raise DataError(
                    f"Image {number} of {self._data} has no label; drop such images or label them."
                )
            rows.append(Row(path, names[label], split))
        return rows


def _extension(content: bytes) -> str:
    """File name extension for an encoded image; "unreadable" if its format is unknown."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return str(image.format).lower()
    except OSError:
        return "unreadable"
