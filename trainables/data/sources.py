"""Where labelled images are listed: folders, CSV or Parquet tables, Hugging Face datasets.

They lie on a disk, or at an address in an object store.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from spaces import DataError
from trainables.data.huggingface import HUB, check_hub_address, read_hf_dataset
from trainables.data.listing import (
    Listing,
    Row,
    SplitName,
    eval_note,
    natural_key,
    only_one_class,
    split_name,
)
from trainables.progress import Progress, no_progress

_IMAGE_SUFFIXES = {
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
    *(".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
_COLUMNS = {
    "path": ("path", "image", "image_path", "filename", "file", "file_name"),
    "label": ("label", "class", "target", "category"),
    "split": ("split", "subset", "fold"),
}


def read_source(
    data: Path | str,
    *,
    cache: Path,
    eval_is: Literal["val", "test"] = "val",
    progress: Progress = no_progress,
) -> Listing:
    """List the images of ``data``. Opens none of them.

    ``eval_is`` says what a split called "eval" means. A Hugging Face dataset holds its images
    inside Arrow files: they are written out below ``cache`` once. A string is an address: of a
    dataset of the hub, or of an object store, whose files are copied below ``cache`` and kept up to
    date. Raises `DataError`.
    """
    if isinstance(data, str) and data.startswith(HUB):
        return read_hf_dataset(data, cache=cache, eval_is=eval_is)
    if isinstance(data, str):
        return _read_remote(data, cache, eval_is, progress)
    data = data.absolute()
    check_source(data, cache=cache)
    if data.is_file():
        return _read_table(data, eval_is)
    if _is_hf_dataset(data):
        return read_hf_dataset(data, cache=cache, eval_is=eval_is)
    return _read_folder(data, eval_is)


def check_source(data: Path | str, *, cache: Path) -> None:
    """See at a glance whether ``data`` can be what it must be, without listing all of it.

    Raises `DataError`, and `ConfigError` for an address of no store.
    """
    if isinstance(data, str) and data.startswith(HUB):
        check_hub_address(data)
    elif isinstance(data, str):
        from trainables.data.object_store import Remote

        Remote(data, cache).check()
    elif not data.exists():
        raise DataError(f"The data {str(data)!r} does not exist; give a folder, CSV or Parquet.")
    elif data.suffix.lower() in _IMAGE_SUFFIXES and data.is_file():
        raise DataError(f"The data {str(data)!r} is one image; give a folder, CSV or Parquet.")
    elif data.is_dir() and not _is_hf_dataset(data):
        folders = _folders(data)
        if not folders:
            raise _no_images(data)
        if len(folders) == 1 and split_name(folders[0].name, "val") is None:
            raise only_one_class(folders[0].name)


def image_files(path: Path) -> list[Path]:
    """``path`` itself, or every image below it if it is a folder. Raises `DataError`."""
    if path.is_dir():
        return list(_images(path, Counter()))
    if not path.exists():
        raise DataError(f"The image {str(path)!r} does not exist.")
    return [path]


def _read_remote(
    address: str, cache: Path, eval_is: Literal["val", "test"], progress: Progress
) -> Listing:
    from trainables.data.object_store import Remote  # most data lie on a disk

    remote = Remote(address, cache)
    remote.bring(progress)
    try:
        listing = read_source(remote.copy, cache=cache, eval_is=eval_is)
    except DataError as error:
        raise DataError(str(error).replace(str(remote.copy), address)) from None
    if remote.copy.is_file():
        remote.bring_listed([row.path for row in listing.rows], progress)
    return listing


def _read_folder(data: Path, eval_is: Literal["val", "test"]) -> Listing:
    folders = _folders(data)
    splits = {folder: split_name(folder.name, eval_is) for folder in folders}
    ignored: Counter[str] = Counter(
        "hidden folders" for p in data.iterdir() if p.is_dir() and _hidden(p)
    )
    rows: list[Row] = []
    if "train" in splits.values():
        others = [folder.name for folder, split in splits.items() if split is None]
        if others:
            raise DataError(
                f"{data} has split folders and also {', '.join(others)}; "
                "keep only train, val and test there, or one folder per class."
            )
        kind = "/".join(f.name for f in folders) + " folders, a folder per class in each"
        for folder, split in splits.items():
            for label in sorted(folder.iterdir()):
                if label.is_dir() and not _hidden(label):
                    rows += [Row(p, label.name, split) for p in _images(label, ignored)]
                else:
                    ignored["hidden folders" if label.is_dir() else "files outside classes"] += 1
    else:
        kind = "a folder per class"
        _refuse_nested_splits(data, folders)
        for folder in folders:
            rows += [Row(path, folder.name) for path in _images(folder, ignored)]
        ignored["files outside classes"] += sum(p.is_file() for p in data.iterdir())
    if not rows:
        raise _no_images(data)
    notes = (eval_note(eval_is),) if any(f.name.lower() == "eval" for f in folders) else ()
    return Listing(data, kind, tuple(rows), {k: n for k, n in ignored.items() if n}, notes)


def _refuse_nested_splits(data: Path, folders: Sequence[Path]) -> None:
    """Raises `DataError` if what looks like classes are splits of other names."""
    inner = [{p.name for p in folder.iterdir() if p.is_dir()} for folder in folders]
    if len(folders) > 1 and inner[0] and all(names == inner[0] for names in inner):
        raise DataError(
            f"The folders {', '.join(f.name for f in folders)} of {data} hold the same folders; "
            "if they are splits, call them train, val and test."
        )


def _read_table(data: Path, eval_is: Literal["val", "test"]) -> Listing:
    import pandas as pd  # most data are folders

    try:
        table = (
            pd.read_parquet(data)
            if data.suffix == ".parquet"
            else pd.read_csv(data, dtype=str, keep_default_na=False)
        )
    except (ValueError, OSError) as error:
        raise DataError(f"{data} can't be read as a table: {error}.") from None
    by_lower = {str(column).lower(): column for column in table.columns}
    found = {
        role: next((by_lower[name] for name in names if name in by_lower), None)
        for role, names in _COLUMNS.items()
    }
    for role in ("path", "label"):
        if found[role] is None:
            raise DataError(
                f"{data} has the columns {', '.join(map(str, table.columns))}; "
                f"it needs one called {role!r} (or {', '.join(_COLUMNS[role][1:])})."
            )
    splits: list[SplitName | None] = [None] * len(table)
    notes: tuple[str, ...] = ()
    if found["split"] is not None:
        names = [str(value) for value in table[found["split"]]]
        splits = [split_name(name, eval_is) for name in names]
        strange = sorted({n for n, s in zip(names, splits, strict=True) if s is None})
        if strange:
            raise DataError(
                f"{data} has the splits {', '.join(map(repr, strange))}; "
                "a split is train, val or test."
            )
        if any(name.strip().lower() == "eval" for name in names):
            notes = (eval_note(eval_is),)
    paths = [data.parent / str(value) for value in table[found["path"]]]
    labels = ["" if pd.isna(value) else str(value).strip() for value in table[found["label"]]]
    if "" in labels:
        raise DataError(f"{data} has {labels.count('')} rows without a label; fill or drop them.")
    if not labels:
        raise DataError(f"{data} has no rows.")
    rows = tuple(map(Row, paths, labels, splits))
    return Listing(data.parent, f"a table of {len(rows)} rows", rows, notes=notes)


def _is_hf_dataset(data: Path) -> bool:
    return (data / "dataset_dict.json").exists() or (data / "state.json").exists()


def _folders(data: Path) -> list[Path]:
    return [p for p in sorted(data.iterdir()) if p.is_dir() and not _hidden(p)]


def _no_images(data: Path) -> DataError:
    return DataError(
        f"No images were found in {data}; it needs a folder per class, "
        "or train/val/test with a folder per class in each."
    )


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX"))


def _images(folder: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Image files below ``folder``, at any depth, by name; counts the others in ``ignored``."""
    for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name)):
        if _hidden(path):
            ignored["hidden folders" if path.is_dir() else "hidden files"] += 1
        elif path.is_dir():
            yield from _images(path, ignored)
        elif path.suffix.lower() in _IMAGE_SUFFIXES:
            yield path
        else:
            ignored["files that are no images"] += 1
