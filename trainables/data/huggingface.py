"""Hugging Face datasets, saved on disk or of the hub; needs the extra `hf`."""

import io
import logging
import re
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from spaces import DataError
from spaces.errors import first_line
from trainables.data.listing import Listing, Row, SplitName, eval_note, split_name

HUB = "hf://"
"""Before the id of a dataset of the hub: ``hf://OWNER/NAME``, or ``hf://OWNER/NAME@REVISION``."""


def check_hub_address(address: str) -> None:
    """Raises `DataError` for what can be no dataset's."""
    if not re.fullmatch(rf"{HUB}[^@]*[^@/](@[^@]+)?", address):
        raise DataError(
            f"A dataset of the hub is {HUB}OWNER/NAME, or with @REVISION, not {address!r}."
        )
    _datasets(address)


def read_hf_dataset(data: Path | str, *, cache: Path, eval_is: Literal["val", "test"]) -> Listing:
    """List an image dataset, its images written below ``cache`` as the encoded files they are.

    ``data`` is the folder of `datasets.save_to_disk`, or an address of the hub. Raises `DataError`.
    """
    loaded = _of_hub(data) if isinstance(data, str) else _datasets(data).load_from_disk(str(data))
    parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
    rows: list[Row] = []
    for name, part in parts.items():
        split = split_name(name, eval_is) if name else None
        if name and split is None:
            raise DataError(f"{data} has the split {name!r}; a split is train, val or test.")
        rows += _write_out(part, cache / "hf" / part._fingerprint, split, data)
    notes = (eval_note(eval_is),) if "eval" in parts else ()
    return Listing(cache, "a Hugging Face dataset", tuple(rows), notes=notes)


def _datasets(data: Path | str) -> Any:
    """The library, which takes a second to import."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{data} is a Hugging Face dataset; pip install 'finesweep[hf]' to read it."
        ) from None
    return datasets


def _of_hub(address: str) -> Any:
    """From the library's cache, or the network."""
    name, _, revision = address.removeprefix(HUB).partition("@")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its retries
    try:
        return _datasets(address).load_dataset(name, revision=revision or None)
    except (OSError, ValueError) as error:  # not there, no network, no agreement, no one table
        raise DataError(
            f"The dataset {address} can't be had ({first_line(error)}); see that its name is "
            "right, log in if it is private, or save it to a disk and give that folder."
        ) from None


def _write_out(part: Any, folder: Path, split: SplitName | None, data: Path | str) -> list[Row]:
    datasets = _datasets(data)
    features = part.features
    images = [n for n, f in features.items() if isinstance(f, datasets.Image)]
    labels = [n for n, f in features.items() if isinstance(f, datasets.ClassLabel)]
    if not images or not labels:
        raise DataError(
            f"{data} has the columns {', '.join(features)}; it needs an Image and a ClassLabel one."
        )
    names = features[labels[0]].names
    encoded = part.cast_column(images[0], datasets.Image(decode=False))
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
                f"Image {number} of {data} has no label; drop such images or label them."
            )
        rows.append(Row(path, names[label], split))
    return rows


def _extension(content: bytes) -> str:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return str(image.format).lower()
    except OSError:
        return "unreadable"
