"""Cases of `tests.support.data_readings`: tar archives, WebDatasets among them."""

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.archives import write_tar
from tests.support.reading_case import Case, Truth, Use, images, text

Contents = dict[str, bytes | str]
"""Files of an archive by name."""
Label = Callable[[int, str], Contents]
"""Files beside an image, without its key, by the number of its class and its name."""


def as_cls(number: int, label: str) -> Contents:
    """A ``.cls`` file with the class's name."""
    return {"cls": label}


def as_number(number: int, label: str) -> Contents:
    """A ``.cls`` file with the class's number."""
    return {"cls": str(number)}


def as_json(number: int, label: str) -> Contents:
    """A ``.json`` file with the class's name in a field."""
    return {"json": json.dumps({"label": label, "width": 32})}


def as_text(number: int, label: str) -> Contents:
    """A ``.json`` file that says nothing of the class."""
    return {"json": json.dumps({"width": 32})}


def shard(folder: Path, name: str, beside: Label = as_cls, *, first: int = 0) -> Truth:
    """Write a shard with twelve cats and as many dogs, in turn. Returns the truth by its names.

    Images are numbered from ``first``.
    """
    drawn = [images(folder / "drawn" / name / label, label) for label in ("cat", "dog")]
    contents: Contents = {}
    truth: Truth = {}
    for row, pair in enumerate(zip(*drawn, strict=True)):
        for number, path in enumerate(pair):
            key = f"{first + 2 * row + number:06d}"
            use = drawn[number][path]
            contents[f"{key}.png"] = path.read_bytes()
            contents |= {f"{key}.{end}": c for end, c in beside(number, use.label).items()}
            truth[folder / "d" / name / f"{key}.png"] = use
    write_tar(folder / "d" / name, contents)
    return truth


def shards(*names: str, beside: Label = as_cls) -> Callable[[Path], Truth]:
    """Several shards, each of the split that its name has, if any."""

    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for number, name in enumerate(names):
            split = next((s for s in ("train", "val", "test") if s in name), None)
            found = shard(folder, name, beside, first=100 * number)
            truth |= {path: Use(use.label, split) for path, use in found.items()}
        return truth

    return make


def folders(
    name: str, labels: Sequence[str] = ("cat", "dog"), above: str = ""
) -> Callable[[Path], Truth]:
    """An archive with a folder for each class, within the folder ``above``, if any."""

    def make(folder: Path) -> Truth:
        contents: Contents = {}
        truth: Truth = {}
        for label in labels:
            for path, use in images(folder / "drawn" / name / label, label).items():
                inside = f"{above}{label}/{path.name}"
                contents[inside] = path.read_bytes()
                truth[folder / "d" / name / inside] = use
        write_tar(folder / "d" / name, contents)
        return truth

    return make


def several(*parts: Callable[[Path], Truth]) -> Callable[[Path], Truth]:
    """All of these in one folder."""

    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for part in parts:
            truth |= part(folder)
        return truth

    return make


def _splits_of_folders(folder: Path) -> Truth:
    train, val = (folders(f"{split}.tar")(folder) for split in ("train", "val"))
    return {
        **{path: Use(use.label, "train") for path, use in train.items()},
        **{path: Use(use.label, "val") for path, use in val.items()},
    }


def _class_per_archive(folder: Path) -> Truth:
    truth: Truth = {}
    for label in ("cat", "dog"):
        found = images(folder / "drawn" / label, label)
        contents: Contents = {path.name: path.read_bytes() for path in found}
        archive = write_tar(folder / "d" / f"{label}.tar", contents)
        truth |= {archive / path.name: use for path, use in found.items()}
    return truth


def _names(folder: Path) -> Truth:
    return text(folder / "d" / "classnames.txt", "cat\ndog\n")


def _with_masks(folder: Path) -> Truth:
    return shard(folder, "x-000.tar", lambda number, label: {"cls": label, "seg.png": b"mask"})


def _compressed(name: str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        shard(folder, "x.tar")
        whole = (folder / "d" / "x.tar").read_bytes()
        (folder / "d" / "x.tar").unlink()
        return text(folder / "d" / name, gzip.compress(whole))

    return make


def _cut_off(folder: Path) -> Truth:
    shard(folder, "x.tar")
    whole = (folder / "d" / "x.tar").read_bytes()
    return text(folder / "d" / "x.tar", whole[: len(whole) // 2])


def _same_names(folder: Path) -> Truth:
    folders("x-00.tar")(folder)
    (folder / "d" / "x-01.tar").write_bytes((folder / "d" / "x-00.tar").read_bytes())
    return {}


CASES = [
    Case("a WebDataset", shards("x-000000.tar", "x-000001.tar")),
    Case("one shard of a WebDataset", shards("x-000000.tar"), "d/x-000000.tar"),
    Case(
        "a WebDataset with splits in the names of shards",
        shards("pets-train-000000.tar", "pets-train-000001.tar", "pets-val-000000.tar"),
    ),
    Case(
        "a WebDataset with a folder per split", shards("train/0.tar", "train/1.tar", "test/0.tar")
    ),
    Case(
        "a WebDataset with numbers of classes, and their names beside it",
        several(shards("0.tar", beside=as_number), _names),
        says="classnames.txt",
    ),
    Case(
        "a WebDataset that lacks a shard",
        shards("x-000.tar", "x-002.tar"),
        says="1 shard .* is missing: 1",
    ),
    Case("a WebDataset with labels in JSON", shards("x-000.tar", beside=as_json)),
    Case(
        "a WebDataset without labels",
        shards("x-000.tar", beside=as_text),
        answer="ask",
        says="--label-column",
    ),
    Case(
        "a WebDataset with an image and a mask in each sample",
        _with_masks,
        answer="ask",
        says="--image-column",
    ),
    Case(
        "a WebDataset with masks, and the column of the images",
        _with_masks,
        "d --image-column png",
    ),
    Case("an archive with a folder per class", folders("x.tar"), "d/x.tar"),
    Case("a folder with an archive of class folders", folders("images.tar", above="./set/")),
    Case("an archive per split", _splits_of_folders),
    Case("an archive per class", _class_per_archive),
    Case(
        "shards with a folder per class, of the same names",
        _same_names,
        answer="ask",
        says="hold the same name",
    ),
    Case("a compressed archive", _compressed("x.tar.gz"), "d/x.tar.gz", "ask", "gzip -d"),
    Case("a compressed archive that is called .tar", _compressed("x.tar"), "d", "ask", "gzip -d"),
    Case("a folder with a compressed archive", _compressed("x.tgz"), "d", "ask", "Unpack"),
    Case("an archive that is cut off", _cut_off, "d", "ask", "cut off"),
]
"""Archives, each with the right answer."""
