"""Cases of `tests.support.data_readings`: tables, and Hugging Face data sets."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from tests.support.parquet import write_shard
from tests.support.reading_case import Case, Truth, classes, images, picture, text

Record = dict[str, object]
"""Row of a table, by column."""


def records(truth: Truth, root: Path, path: str = "path", label: str = "label") -> list[Record]:
    """Row of a table for each image, with paths relative to ``root``."""
    return [{path: p.relative_to(root).as_posix(), label: use.label} for p, use in truth.items()]


def write(rows: Sequence[Record], file: Path, **options: object) -> None:
    """Write a CSV table."""
    pd.DataFrame(rows).to_csv(file, index=False, **options)  # type: ignore[call-overload]


def table(
    change: Callable[[int, Record], Record] = lambda i, row: row,
    *,
    place: str = "images",
    start: str = "",
    labels: Sequence[str] = ("cat", "dog"),
    name: str = "{}.png",
    file: str = "t.csv",
    **options: object,
) -> Callable[[Path], Truth]:
    """A table in the folder d. ``change`` makes each row from its number and its path and label.

    The images lie in the folder ``place`` of d, the paths start at the folder ``start`` of it.
    """

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d" / place, labels, name=name)
        rows = records(truth, folder / "d" / start)
        write([change(i, row) for i, row in enumerate(rows)], folder / "d" / file, **options)
        return truth

    return make


def _ids(folder: Path) -> Truth:
    """Images whose names are unique ids, in one folder; the table has ids without an ending."""
    truth: Truth = {}
    for label in ("cat", "dog"):
        truth |= images(folder / "d" / "images", label, name=label[0] + "{:03}.jpg")
    rows = [{"id": p.stem, "label": use.label} for p, use in truth.items()]
    write(rows, folder / "d" / "t.csv")
    return truth


def _splits(values: dict[str, tuple[str, ...]], column: str) -> Callable[[Path], Truth]:
    """A column whose values name splits. ``values`` has the values of each split, in turn."""
    split_of = {value: split for split, spelt in values.items() for value in spelt}
    order = [value for spelt in values.values() for value in spelt]

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d" / "images", each=24)
        rows, result = records(truth, folder / "d"), {}
        for i, (path, use) in enumerate(truth.items()):
            value = order[i % len(order)]
            rows[i][column] = value
            result[path] = replace(use, split=split_of[value])
        write(rows, folder / "d" / "t.csv")
        return result

    return make


def _unlabelled_test(folder: Path) -> Truth:
    truth = classes(folder / "d" / "train")
    rows = [{**row, "split": "train"} for row in records(truth, folder / "d")]
    for path in images(folder / "d" / "test", ""):
        rows.append({"path": path.relative_to(folder / "d"), "label": "", "split": "test"})
    write(rows, folder / "d" / "t.csv")
    return {path: replace(use, split="train") for path, use in truth.items()}


def _duplicates(other_label: bool) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = classes(folder / "d")
        rows = records(truth, folder / "d")
        twice = rows[0] | ({"label": "dog"} if other_label else {})
        write([*rows, twice], folder / "d" / "t.csv")
        return truth

    return make


def _missing(count: int) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = table()(folder)
        for path in list(truth)[:count]:
            path.unlink()
            del truth[path]
        return truth

    return make


def _recorded(encoding: str, start: bytes = b"") -> Callable[[Path], Truth]:
    """A table with accents in labels and paths, in an encoding."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", ("écureuil", "souris"))
        rows = ["path,label"] + [
            f"{p.relative_to(folder / 'd').as_posix()},{use.label}" for p, use in truth.items()
        ]
        text(folder / "d" / "t.csv", start + ("\n".join(rows) + "\n").encode(encoding))
        return truth

    return make


def _lines(form: str, *first: str, file: str = "t.csv") -> Callable[[Path], Truth]:
    """A table written by hand; ``form`` is a line of it."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d")
        lines = [
            form.format(path=p.relative_to(folder / "d").as_posix(), label=use.label)
            for p, use in truth.items()
        ]
        text(folder / "d" / file, "\n".join([*first, *lines]) + "\n")
        return truth

    return make


def _parquet_bytes(label: Callable[[str], object] = str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = classes(folder / "originals")
        rows = [
            {"image": {"bytes": p.read_bytes(), "path": p.name}, "label": label(use.label)}
            for p, use in truth.items()
        ]
        (folder / "d").mkdir()
        pd.DataFrame(rows).to_parquet(folder / "d" / "t.parquet")
        return truth

    return make


def _parquet_shards(folder: Path) -> Truth:
    result: Truth = {}
    (folder / "d" / "data").mkdir(parents=True)
    for name, split, each in (
        ("train-00000-of-00002", "train", 12),
        ("train-00001-of-00002", "train", 9),
        ("test-00000-of-00001", "test", 3),
    ):
        truth = classes(folder / "originals" / name, split=split, each=each)  # type: ignore[arg-type]
        rows = [
            {"image": {"bytes": p.read_bytes(), "path": None}, "label": use.label}
            for p, use in truth.items()
        ]
        pd.DataFrame(rows).to_parquet(folder / "d" / "data" / f"{name}.parquet")
        result |= truth
    return result


def _hub_shards(
    names: Sequence[str], *columns: str, missing: int = 0, cut: bool = False
) -> Callable[[Path], Truth]:
    """Parquet files called ``names``, as the hub has them, whose rows have no path.

    With ``missing``, as many rows have no image. With ``cut``, the last file lacks its end.
    """

    def make(folder: Path) -> Truth:
        result: Truth = {}
        for name in names:
            truth = classes(folder / "originals" / name)
            contents = [*(path.read_bytes() for path in truth), *[None] * missing]
            labels = [["cat", "dog"].index(use.label) for use in truth.values()] + [0] * missing
            file = folder / "d" / "data" / f"{name}.parquet"
            write_shard(
                file, contents, labels, classes=("cat", "dog"), columns=columns or ("image",)
            )
            result |= truth
        if cut:
            file.write_bytes(file.read_bytes()[:-100])
        return result

    return make


def _metadata(file: str, to: Callable[[list[Record], Path], object]) -> Callable[[Path], Truth]:
    """The folder of images with a table "metadata", as the hub's imagefolder has it."""

    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for label in ("cat", "dog"):
            truth |= images(folder / "d", label, name=label[0] + "{:03}.png")
        to(records(truth, folder / "d", "file_name"), folder / "d" / file)
        return truth

    return make


def _json_lines(rows: list[Record], file: Path) -> None:
    pd.DataFrame(rows).to_json(file, orient="records", lines=True)


def _saved(
    columns: dict[str, str], feature: dict[str, Sequence[str]], splits: Sequence[str] = ("train",)
) -> Callable[[Path], Truth]:
    """A data set that Hugging Face's ``save_to_disk`` wrote.

    ``columns`` says what each column holds: "image", "label" or "other" (another image or label).
    """

    def make(folder: Path) -> Truth:
        import datasets

        datasets.disable_progress_bars()
        parts, result = {}, {}
        names = {"train": "train", "test": "test", "validation": "val"}
        kinds = {
            column: datasets.ClassLabel(names=list(feature[column]))
            if column in feature
            else datasets.Image()
            for column in columns
        }
        for split in splits:
            given = names[split] if len(splits) > 1 else None
            truth = classes(folder / "originals" / split, split=given)  # type: ignore[arg-type]
            rows: list[Record] = []
            for path, use in truth.items():
                mask = picture(folder / "masks" / split / use.label / path.name)
                holds = {
                    "image": str(path),
                    "mask": str(mask),
                    "label": use.label,
                    "other": "animal",
                }
                rows.append({column: holds[kind] for column, kind in columns.items()})
            by_column = {column: [row[column] for row in rows] for column in columns}
            parts[split] = datasets.Dataset.from_dict(by_column, features=datasets.Features(kinds))
            result |= truth
        saved = datasets.DatasetDict(parts) if len(splits) > 1 else parts[splits[0]]
        saved.save_to_disk(str(folder / "d"))
        return result

    return make


def _grouped(folder: Path) -> Truth:
    truth = classes(folder / "d")
    rows = records(truth, folder / "d")
    grouped = {p: replace(u, group=f"{u.label}{i % 4}") for i, (p, u) in enumerate(truth.items())}
    for row, use in zip(rows, grouped.values(), strict=True):
        row["patient"] = use.group
    write(rows, folder / "d" / "t.csv")
    return grouped


def _split_between(folder: Path) -> Truth:
    """Every patient has images in train and in test, as the table gives them."""
    truth = classes(folder / "d")
    rows, result = records(truth, folder / "d"), {}
    for i, (path, use) in enumerate(truth.items()):
        split: Literal["train", "test"] = "test" if i % 3 == 0 else "train"
        rows[i] |= {"patient": f"p{i // 3}", "split": split}
        result[path] = replace(use, split=split, needed=split == "test")
    write(rows, folder / "d" / "t.csv")
    return result


def _form_cases() -> list[Case]:
    t = "d/t.csv"
    return [
        Case("a table of paths and labels", table(), t),
        Case(
            "columns image and class",
            table(lambda i, r: {"image": r["path"], "class": r["label"]}),
            t,
        ),
        Case("a table with semicolons", table(sep=";"), t),
        Case("a table with tabs", table(sep="\t"), t),
        Case("a table with tabs, called .tsv", table(sep="\t", file="t.tsv"), "d/t.tsv"),
        Case("a table with bars", table(sep="|"), t, answer="either"),
        Case(
            "a list of paths and labels with blanks (.txt)",
            _lines("{path} {label}", file="t.txt"),
            "d/t.txt",
            answer="either",
        ),
        Case("a table with a byte-order mark", _recorded("utf-8-sig"), t),
        Case("a table in Windows's encoding", _recorded("cp1252"), t),
        Case("a table in UTF-16", _recorded("utf-16"), t),
        Case("a table without a header", _lines("{path},{label}"), t, answer="either"),
        Case("blanks in the header", _lines("{path},{label}", " path , label "), t),
        Case("blanks around the values", _lines("{path} , {label} ", "path,label"), t),
        Case("blanks in paths, without quotes", table(name="my cat {}.png"), t),
        Case("commas in paths, in quotes", table(name="a,{}.png"), t),
        Case(
            "backslashes in paths",
            table(lambda i, r: {"path": str(r["path"]).replace("/", "\\"), "label": r["label"]}),
            t,
        ),
        Case("paths that begin with ./", table(lambda i, r: r | {"path": f"./{r['path']}"}), t),
        Case("upper-case headers", table(lambda i, r: {"PATH": r["path"], "Label": r["label"]}), t),
        Case(
            "a first column of numbers without a name",
            table(lambda i, r: {"Unnamed: 0": i, **r}),
            t,
        ),
        Case(
            "a comment above the header",
            _lines("{path},{label}", "# made by hand", "path,label"),
            t,
            answer="either",
        ),
        Case("a header alone", lambda f: text(f / "d" / "t.csv", "path,label\n"), t, answer="ask"),
        Case("an empty file", lambda f: text(f / "d" / "t.csv", ""), t, answer="ask"),
        Case(
            "an Excel file",
            lambda f: text(f / "d" / "t.xlsx", b"PK\3\4" + bytes(99)),
            "d/t.xlsx",
            answer="ask",
        ),
        Case(
            "an Excel file called .csv",
            lambda f: text(f / "d" / "t.csv", b"PK\3\4" + bytes(99)),
            t,
            answer="ask",
        ),
        Case(
            "a metadata.csv beside the images",
            _metadata("metadata.csv", write),
            "d",
            answer="either",
        ),
        Case(
            "a metadata.jsonl beside the images",
            _metadata("metadata.jsonl", _json_lines),
            "d",
            answer="either",
        ),
    ]


def _place_cases() -> list[Case]:
    t = "d/t.csv"
    return [
        Case("ids without an ending", _ids, t, answer="either"),
        Case(
            "ids without an ending, and the folder",
            _ids,
            f"{t} --image-root d/images",
            answer="either",
        ),
        Case("paths that start one folder away", table(place="train", start="train"), t),
        Case(
            "paths that start at a folder that is given",
            table(place="a/b", start="a/b"),
            f"{t} --image-root d/a/b",
        ),
        Case(
            "paths that start two folders away", table(place="a/b", start="a/b"), t, answer="either"
        ),
        Case(
            "paths that start at the folder above the table",
            lambda f: _from_above(f),
            t,
            answer="either",
        ),
        Case("absolute paths", lambda f: _absolute(f, moved=False), t),
        Case(
            "absolute paths of another machine",
            lambda f: _absolute(f, moved=True),
            t,
            answer="either",
        ),
        Case("a few missing files", _missing(1), t),
        Case("many missing files", _missing(12), t, answer="ask"),
        Case(
            "addresses in place of paths",
            table(lambda i, r: r | {"path": f"https://example.org/{i}.jpg"}),
            t,
            answer="ask",
        ),
        Case("paths in NFC of files in NFD", _other_form, t),
        Case(
            "paths whose suffix is written otherwise",
            table(lambda i, r: r | {"path": str(r["path"]).replace(".png", ".PNG")}),
            t,
            answer="either",
        ),
    ]


def _other_form(folder: Path) -> Truth:
    name = unicodedata.normalize("NFD", "écureuil")
    truth = classes(folder / "d" / "images", name=name + "{}.png")
    rows = [
        {column: unicodedata.normalize("NFC", str(value)) for column, value in row.items()}
        for row in records(truth, folder / "d")
    ]
    write(rows, folder / "d" / "t.csv")
    return truth


def _from_above(folder: Path) -> Truth:
    truth = classes(folder / "d")
    write(records(truth, folder), folder / "d" / "t.csv")
    return truth


def _absolute(folder: Path, *, moved: bool) -> Truth:
    truth = classes(folder / "d")
    root = Path("/home/somebody/pets") if moved else folder / "d"
    rows = [
        {"path": root / p.relative_to(folder / "d"), "label": u.label} for p, u in truth.items()
    ]
    write(rows, folder / "d" / "t.csv")
    return truth


def _column_cases() -> list[Case]:
    t = "d/t.csv"
    coarse = {"cat": "pet", "dog": "pet", "cow": "farm", "hen": "farm"}
    return [
        Case(
            "two columns of labels",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "label": ("red", "blue")[i % 2],
                    "category": r["label"],
                }
            ),
            t,
            answer="ask",
            says="--label-column",
            was_silently_wrong=True,
        ),
        Case(
            "two columns of labels, and the right one",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "label": ("red", "blue")[i % 2],
                    "category": r["label"],
                }
            ),
            f"{t} --label-column category",
        ),
        Case(
            "a coarse and a fine label",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "coarse_label": coarse[str(r["label"])],
                    "fine_label": r["label"],
                },
                labels=tuple(coarse),
            ),
            t,
            answer="ask",
            says="--label-column",
        ),
        Case(
            "a coarse and a fine label, and the fine one",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "coarse_label": coarse[str(r["label"])],
                    "fine_label": r["label"],
                },
                labels=tuple(coarse),
            ),
            f"{t} --label-column fine_label",
        ),
        Case(
            "a label that is called diagnosis",
            table(lambda i, r: {"path": r["path"], "diagnosis": r["label"]}),
            t,
            answer="either",
        ),
        Case(
            "a label that is called diagnosis, as told",
            table(lambda i, r: {"path": r["path"], "diagnosis": r["label"]}),
            f"{t} --label-column diagnosis",
        ),
        Case("an image and a mask", _image_and_mask, t, answer="either"),
        Case("an image and a mask, as told", _image_and_mask, f"{t} --image-column image"),
        Case("a mask before the image", _mask_first, t, answer="either"),
        Case(
            "a path, and an image that is a number",
            table(lambda i, r: {"image": i, "path": r["path"], "label": r["label"]}),
            t,
            answer="either",
        ),
        Case(
            "two images of each object",
            table(
                lambda i, r: {
                    "image": r["path"],
                    "path": str(r["path"]).replace("images", "backs"),
                    "label": r["label"],
                }
            ),
            t,
            answer="ask",
            says="--image-column",
        ),
        Case(
            "a constant label beside the class",
            table(lambda i, r: {"path": r["path"], "label": "animal", "class": r["label"]}),
            t,
            answer="either",
        ),
        Case(
            "a column that does not exist",
            table(),
            f"{t} --label-column lable",
            answer="ask",
            says="lable",
        ),
        Case(
            "one-hot columns",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "cat": int(r["label"] == "cat"),
                    "dog": int(r["label"] == "dog"),
                }
            ),
            t,
            answer="either",
        ),
        Case(
            "columns of several labels at once",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "furry": 1,
                    "small": int(r["label"] == "cat"),
                    "old": i % 2,
                }
            ),
            t,
            answer="ask",
        ),
        Case("labels with leading zeros", table(labels=("007", "042")), t),
        Case("labels NA and None", table(labels=("NA", "None")), t),
        Case(
            "labels with a blank after some",
            table(lambda i, r: r | {"label": f"{r['label']} " if i % 2 else r["label"]}),
            t,
        ),
        Case(
            "labels Cat and cat in a table",
            _two_cases,
            t,
            answer="either",
            says="merge-labels",
            was_silently_wrong=True,
        ),
        Case("labels Cat and cat in a table, merged", _two_cases_merged, f"{t} --merge-labels"),
        Case(
            "a name and a number of each class",
            table(
                lambda i, r: {
                    "path": r["path"],
                    "label": r["label"],
                    "class_id": {"cat": 3, "dog": 8}[str(r["label"])],
                }
            ),
            t,
            answer="either",
        ),
        Case(
            "several labels in one value", _several_labels, t, answer="ask", was_silently_wrong=True
        ),
        Case(
            "a table of boxes, several in an image",
            _boxes,
            t,
            answer="ask",
            was_silently_wrong=True,
        ),
        Case(
            "some rows without a label",
            table(lambda i, r: r | {"label": "" if i % 8 == 0 else r["label"]}),
            t,
            answer="ask",
        ),
        Case(
            "a measure in place of a label",
            table(lambda i, r: r | {"label": 0.25 + i / 100}),
            t,
            answer="ask",
        ),
        Case("no column of labels", table(lambda i, r: {"path": r["path"]}), t, answer="ask"),
        Case("no column of images", table(lambda i, r: {"label": r["label"]}), t, answer="ask"),
        Case("a row twice", _duplicates(other_label=False), t),
        Case("a row twice, with two labels", _duplicates(other_label=True), t, answer="ask"),
        Case("a column of patients, as told", _grouped, f"{t} --group-column patient"),
        Case(
            "patients in train and in test",
            _split_between,
            f"{t} --group-column patient",
            answer="either",
            says="several (of the given )?splits|left out",
        ),
    ]


def _image_and_mask(folder: Path, first: str = "image") -> Truth:
    truth = classes(folder / "d" / "images")
    rows: list[Record] = []
    for row in records(truth, folder / "d"):
        mask = picture(folder / "d" / str(row["path"]).replace("images", "masks"))
        both = {"image": row["path"], "mask": mask.relative_to(folder / "d")}
        rows.append({first: both.pop(first), **both, "label": row["label"]})
    write(rows, folder / "d" / "t.csv")
    return truth


def _two_cases(folder: Path) -> Truth:
    truth = {
        path: replace(use, label=use.label.title() if i % 2 else use.label)
        for i, (path, use) in enumerate(classes(folder / "d").items())
    }
    write(records(truth, folder / "d"), folder / "d" / "t.csv")
    return truth


def _two_cases_merged(folder: Path) -> Truth:
    return {p: replace(use, label=use.label.lower()) for p, use in _two_cases(folder).items()}


def _several_labels(folder: Path) -> Truth:
    truth = classes(folder / "d", ("cat", "dog", "both"))
    rows = records(truth, folder / "d")
    write(
        [r | {"label": "cat|dog"} if r["label"] == "both" else r for r in rows],
        folder / "d" / "t.csv",
    )
    return truth


def _boxes(folder: Path) -> Truth:
    """Every image has a box of a cat and one of a dog."""
    rows: list[Record] = []
    for path in images(folder / "d" / "images", ""):
        for label, left in (("cat", 0), ("dog", 16)):
            box = {"xmin": left, "ymin": 0, "xmax": left + 16, "ymax": 32}
            rows.append({"filename": f"images/{path.name}", "class": label, **box})
    write(rows, folder / "d" / "t.csv")
    return {}


def _mask_first(folder: Path) -> Truth:
    return _image_and_mask(folder, "mask")


def _split_cases() -> list[Case]:
    t = "d/t.csv"
    usual = {"train": ("train", "train", "train"), "val": ("val",), "test": ("test",)}
    flags = {"train": ("False", "False", "False"), "val": ("True",)}
    folds = {"train": ("0", "1", "2", "3", "4")}
    return [
        Case("a column split", _splits(usual, "split"), t),
        Case(
            "a column subset, with Training and so on",
            _splits(
                {"train": ("Training", "Training"), "val": ("Validation",), "test": ("Testing",)},
                "subset",
            ),
            t,
        ),
        Case("a column set", _splits(usual, "set"), t, answer="either", was_silently_wrong=True),
        Case(
            "a column partition, as told",
            _splits(usual, "partition"),
            f"{t} --split-column partition",
        ),
        Case(
            "a column is_valid",
            _splits(flags, "is_valid"),
            t,
            answer="either",
            was_silently_wrong=True,
        ),
        Case(
            "a column is_test of 0 and 1",
            _splits({"train": ("0", "0", "0"), "test": ("1",)}, "is_test"),
            t,
            answer="either",
            was_silently_wrong=True,
        ),
        Case("a column of folds", _splits(folds, "fold"), t, answer="either", says="fold"),
        Case(
            "a column of unknown splits",
            _splits({"train": ("first", "second")}, "split"),
            t,
            answer="ask",
        ),
        Case(
            "a split in some rows only",
            table(lambda i, r: {**r, "split": ("train", "test", "")[i % 3]}),
            t,
            answer="ask",
        ),
        Case("test rows without labels", _unlabelled_test, t, answer="either", says="label"),
    ]


def _hub_cases() -> list[Case]:
    ask: dict[str, Any] = {"answer": "ask", "says": "download"}
    pets, other = ["cat", "dog"], ["animal", "plant"]
    return [
        Case("a Parquet table of paths", lambda f: _parquet_paths(f), "d/t.parquet"),
        Case("a Parquet table of images", _parquet_bytes(), "d/t.parquet"),
        Case(
            "a Parquet table of images, and numbers for labels",
            lambda f: _renamed(
                _parquet_bytes(lambda label: 7 if label == "cat" else 8)(f),
                {"cat": "7", "dog": "8"},
            ),
            "d/t.parquet",
            answer="either",
        ),
        Case("a folder of Parquet shards, as the hub has it", _parquet_shards, "d"),
        Case(
            "a folder of Parquet shards without splits",
            _hub_shards(["set-00000-of-00002", "set-00001-of-00002"]),
        ),
        Case("a Parquet shard of the hub", _hub_shards(["set-00000-of-00001"]), "d/data"),
        Case("a hub download that lacks a shard", _hub_shards(["train-00000-of-00002"]), **ask),
        Case(
            "a hub download of which a shard is cut off",
            _hub_shards(["train-00000-of-00002", "train-00001-of-00002"], cut=True),
            **ask,
        ),
        Case(
            "Parquet shards with an image and a mask in each row",
            _hub_shards(["train-00000-of-00001"], "image", "mask"),
            answer="ask",
            says="--image-column",
        ),
        Case(
            "Parquet shards with masks, and the column of the images",
            _hub_shards(["train-00000-of-00001"], "image", "mask"),
            "d --image-column image",
        ),
        Case(
            "Parquet shards of which two rows have no image",
            _hub_shards(["train-00000-of-00001"], missing=2),
            answer="ask",
            says="without an image",
        ),
        Case(
            "a broken Parquet file",
            lambda f: text(f / "d" / "t.parquet", b"PAR1"),
            "d/t.parquet",
            answer="ask",
        ),
        Case("a saved data set", _saved({"image": "image", "label": "label"}, {"label": pets})),
        Case(
            "a saved data set with splits",
            _saved({"image": "image", "label": "label"}, {"label": pets}, ("train", "test")),
        ),
        Case(
            "a saved data set with two labels",
            _saved(
                {"image": "image", "coarse": "other", "fine": "label"},
                {"coarse": other, "fine": pets},
            ),
            answer="ask",
            says="--label-column",
        ),
        Case(
            "a saved data set with two labels, and the right one",
            _saved(
                {"image": "image", "coarse": "other", "fine": "label"},
                {"coarse": other, "fine": pets},
            ),
            "d --label-column fine",
        ),
        Case(
            "a saved data set with masks",
            _saved({"mask": "mask", "image": "image", "label": "label"}, {"label": pets}),
            answer="either",
            was_silently_wrong=True,
        ),
        Case(
            "a saved data set with masks, and the images' column",
            _saved({"mask": "mask", "image": "image", "label": "label"}, {"label": pets}),
            "d --image-column image",
        ),
    ]


def _renamed(truth: Truth, labels: dict[str, str]) -> Truth:
    return {path: replace(use, label=labels[use.label]) for path, use in truth.items()}


def _parquet_paths(folder: Path) -> Truth:
    truth = classes(folder / "d")
    pd.DataFrame(records(truth, folder / "d")).to_parquet(folder / "d" / "t.parquet")
    return truth


CASES = [*_form_cases(), *_place_cases(), *_column_cases(), *_split_cases(), *_hub_cases()]
