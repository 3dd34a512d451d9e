"""Hugging Face datasets saved on disk (`datasets.save_to_disk`); needs the extra `hf`."""

import io
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from spaces import DataError
from trainables.listing import Listing, Row, SplitName, eval_note, split_name


def read_hf_dataset(data: Path, *, cache: Path, eval_is: Literal["val", "test"]) -> Listing:
    """List an image dataset, its images written below ``cache`` as the encoded files they are.

    Raises `DataError`.
    """
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{data} is a Hugging Face dataset; pip install 'finesweep[hf]' to read it."
        ) from None
    loaded = datasets.load_from_disk(str(data))
    parts = dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}
    rows: list[Row] = []
    for name, part in parts.items():
        split = split_name(name, eval_is) if name else None
        if name and split is None:
            raise DataError(f"{data} has the split {name!r}; a split is train, val or test.")
        rows += _write_out(part, cache / "hf" / part._fingerprint, split, data)
    notes = (eval_note(eval_is),) if "eval" in parts else ()
    return Listing(cache, "a Hugging Face dataset", tuple(rows), notes=notes)


def _write_out(part: Any, folder: Path, split: SplitName | None, data: Path) -> list[Row]:
    import datasets

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
