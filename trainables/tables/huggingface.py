"""Hugging Face image datasets, from disk or from the Hub. Needs ``finesweep[hf]``."""

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spaces import DataError
from spaces.errors import first_line
from trainables.listing import DataSource, Listing, ReadOptions, SplitName, eval_notes, split_name
from trainables.progress import Progress
from trainables.tables.columns import choose_columns
from trainables.tables.extracted_images import extract_image
from trainables.tables.parquet_file import class_labels
from trainables.tables.paths import LocatedImages, locate_images
from trainables.tables.rows import describe_columns, labelled_rows, sum_unused, without_repeats
from trainables.tables.table import Table

HUB_SCHEME = "hf://"
"""Prefix of a dataset's address: ``hf://OWNER/NAME``, or ``hf://OWNER/NAME@REVISION``."""


def is_saved_dataset(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder; other programs write a ``state.json`` alone."""
    has_part = (folder / "state.json").exists() and (folder / "dataset_info.json").exists()
    return has_part or (folder / "dataset_dict.json").exists()


class HuggingFaceSource(DataSource):
    """An image dataset with an ``Image`` column and a column with labels, such as ``ClassLabel``.

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
        listings = []
        for name, part in parts.items():
            split = split_name(name, options.eval_is) if name else None
            if name and split is None:
                raise DataError(
                    f"{self._data} has the split {name!r}; call its splits train, val and test."
                )
            listings.append(self._list_part(part, split, options))
        notes = [note for listing in listings for note in listing.notes]
        notes += eval_notes(parts, options.eval_is)
        return Listing(
            listings[0].root,
            f"a Hugging Face dataset ({listings[0].kind})",
            tuple(row for listing in listings for row in listing.rows),
            sum_unused([item for listing in listings for item in listing.unused]),
            tuple(dict.fromkeys(notes)),
        )

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
            return self._load_saved()
        name, _, revision = self._data.removeprefix(HUB_SCHEME).partition("@")
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # hides a line per retry
        try:
            return self._library().load_dataset(name, revision=revision or None)
        except Exception as error:  # missing, gated, offline, ambiguous; or of the HTTP library
            mirror = os.environ.get("HF_ENDPOINT")
            reason = first_line(error).rstrip(".")
            hub = f", where HF_ENDPOINT is {mirror!r}" if mirror else ""
            raise DataError(
                f"The dataset {self._data} can't be loaded ({reason}{hub}); check its "
                "name, log in if it is private, or save it with save_to_disk and give that folder."
            ) from None

    def _load_saved(self) -> Any:
        """``Dataset`` or ``DatasetDict`` that `save_to_disk` wrote."""
        library = self._library()
        try:
            return library.load_from_disk(str(self._data))
        except Exception as error:  # a file that is missing, cut off or malformed
            reason = first_line(error).rstrip(".")
            raise DataError(
                f"The saved dataset {self._data} can't be loaded ({reason}); copy all of its files "
                "again, or save it again with save_to_disk."
            ) from None

    def _list_part(self, part: Any, split: SplitName | None, options: ReadOptions) -> Listing:
        """Listing of one split, with its images extracted below the cache."""
        table = self._table(part)
        columns = choose_columns(table, options, self._data, has_split=split is not None)
        labelled = labelled_rows(table, columns, self._data, split=split, eval_is=options.eval_is)
        numbers = [row.number for row in labelled.rows]
        if columns.image in table.embedded:
            if options.image_root:
                raise DataError(
                    f"The images of {self._data} are inside it; leave out --image-root."
                )
            located = LocatedImages(
                self._cache, self._extract_images(part, columns.image, table.embedded, numbers)
            )
        else:
            folder = options.image_root or self._data
            if not isinstance(folder, Path):
                raise DataError(
                    f"The column {columns.image!r} of {self._data} holds paths; give the folder "
                    "that they start at with --image-root."
                )
            texts = table.texts(columns.image)
            values = [texts[number] for number in numbers]
            located = locate_images(values, self._data, folder, options.image_root)
        rows, repeated = without_repeats(located.paths, labelled.rows, self._data)
        unused = (*labelled.unused, *repeated)
        notes = (*labelled.notes, *([located.note] if located.note else []))
        return Listing(located.root, describe_columns(columns), tuple(rows), unused, notes)

    def _table(self, part: Any) -> Table:
        """Columns of one split, without its images. Numbers of classes become names."""
        import pandas as pd  # slow to import, and most data are folders

        datasets = self._library()
        features = part.features
        images = [n for n, f in features.items() if isinstance(f, datasets.Image)]
        classes = [n for n, f in features.items() if isinstance(f, datasets.ClassLabel)]
        frame = part.remove_columns(images).with_format(None).to_pandas()
        if not frame.shape[1]:
            frame = pd.DataFrame(index=range(part.num_rows))
        for name in classes:
            frame[name] = class_labels(frame[name].tolist(), features[name].names)
        return Table(frame, tuple(images), tuple(classes))

    def _extract_images(
        self, part: Any, column: str, embedded: Sequence[str], numbers: Sequence[int]
    ) -> list[Path]:
        """Write the numbered images below the cache, unless they are there. Returns their paths."""
        name = part._fingerprint + (f"-{column}" if len(embedded) > 1 else "")
        encoded = part.select_columns([column])
        encoded = encoded.cast_column(column, self._library().Image(decode=False))
        wanted = set(numbers)
        paths = []
        for number, example in enumerate(encoded):
            if number in wanted:
                image = example[column] or {}
                paths.append(
                    extract_image(self._content(image, number), self._cache / "hf" / name, number)
                )
        return paths

    def _content(self, image: dict[str, Any], number: int) -> bytes:
        """Encoded image. Raises `DataError` if the dataset has neither its bytes nor its file."""
        if image.get("bytes"):
            return bytes(image["bytes"])
        path = Path(image.get("path") or "")
        if not path.is_file():
            raise DataError(f"Image {number} of {self._data} is missing; drop it or save it again.")
        return path.read_bytes()
