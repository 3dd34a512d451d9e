"""Choice of a folder's layout: the only one that fits, or the one that the user names."""

from pathlib import Path, PurePosixPath

from spaces import DataError
from spaces.errors import unknown
from spaces.wording import counted, name_some
from trainables.folders.base import describe_counts
from trainables.folders.layouts import (
    LAYOUTS,
    TABLE_LAYOUT,
    Base,
    Reading,
    apply_layouts,
    has_no_classes,
)
from trainables.folders.tree import Folder
from trainables.listing import single_class_error

_TABLE_SUFFIXES = {".csv", ".jsonl", ".tsv", ".parquet"}


_ARCHIVE_SUFFIXES = {".7z", ".gz", ".rar", ".tar", ".tgz", ".zip"}


def archives_error(root: Path, tree: Folder) -> DataError | None:
    """Error for images that may be inside archives; None if there is no archive in ``tree``."""
    archives = [
        folder.join(name)
        for folder in tree.walk()
        for name in folder.others
        if PurePosixPath(name).suffix.lower() in _ARCHIVE_SUFFIXES
    ]
    if not archives:
        return None
    return DataError(
        f"{root} has no images with classes, but archives, which are not opened: "
        f"{name_some(archives, 3)}. Unpack them, and give the folder of their images, or give one "
        "uncompressed .tar itself."
    )


def choose_reading(root: Path, tree: Folder, base: Base, layout: str | None) -> Reading:
    """Reading of ``base`` by the layout that the user names, else by the only one that fits.

    ``tree`` is all that lies below ``root``. Raises `DataError` if no layout or several ones fit.
    """
    readings = apply_layouts(base)
    tables = _tables_beside(root, tree, base) if has_no_classes(base) else []
    if layout is not None:
        return _named_reading(root, base, layout, readings, tables)
    certain = [reading for reading in readings if not reading.doubts]
    if len(certain) == 1 and not (tables and certain[0].layout.startswith("name-")):
        return _with_two_classes(certain[0])
    if not readings:
        raise _no_layout_error(root, tree, base, tables)
    raise _ambiguity_error(root, base, certain or readings, _tables_beside(root, tree, base))


def _named_reading(
    root: Path, base: Base, layout: str, readings: list[Reading], tables: list[str]
) -> Reading:
    """Reading by the layout called ``layout``. Raises `DataError` if there is none."""
    if layout == TABLE_LAYOUT and tables:
        raise DataError(_table_sentence(root, tables))
    if layout not in LAYOUTS:
        raise DataError(unknown("layout", layout, LAYOUTS))
    if reading := LAYOUTS[layout](base):
        return _with_two_classes(reading)
    fitting = [_option(reading) for reading in readings]
    others = f"these do: {'; '.join(fitting)}" if fitting else "no other layout does either"
    raise DataError(f"The layout {layout} does not fit {root / base.folder.path}; {others}.")


def _with_two_classes(reading: Reading) -> Reading:
    """The reading itself. Raises `DataError` if it has one class only."""
    if len(reading.labels) < 2 and not reading.layout.startswith("split"):
        raise single_class_error(reading.labels[0])
    return reading


def _option(reading: Reading) -> str:
    counts = describe_counts(reading.labels, len(reading.images))
    return f"--layout {reading.layout} ({counts})"


def _ambiguity_error(
    root: Path, base: Base, readings: list[Reading], tables: list[str]
) -> DataError:
    """Error for a folder that is not read without being asked, with its readings."""
    place = root / base.folder.path
    doubts = list(dict.fromkeys(doubt for reading in readings for doubt in reading.doubts))
    reasons = [doubt.reason for doubt in doubts[:2]] or ["it can be read in several ways"]
    options = [_option(reading) for reading in readings]
    options += [f"{root / table} as the data" for table in tables[:3]]
    options += _inner_data(root, base)
    options += [f"the other folders with --ignore {d.folder!r}" for d in doubts[:2] if d.folder]
    return DataError(
        f"{place} needs a choice, because {'; '.join(reasons)}: take {'; or '.join(options)}."
    )


def _inner_data(root: Path, base: Base) -> list[str]:
    """Folders on disk in the base that have a layout by themselves, with their counts."""
    if base.is_split:
        return []
    found = []
    for child in base.folder.with_images:
        if not (root / child.path).is_dir():  # in an archive
            continue
        certain = [r for r in apply_layouts(Base(child, ((None, child),))) if not r.doubts]
        if len(certain) == 1:
            counts = describe_counts(certain[0].labels, len(certain[0].images))
            found.append(f"{root / child.path} as the data ({counts})")
    return found[:3]


def _no_layout_error(root: Path, tree: Folder, base: Base, tables: list[str]) -> DataError:
    if tables:
        return DataError(_table_sentence(root, tables))
    folders = base.folder.with_images
    if inner := _inner_data(root, base):
        return DataError(
            f"No folder in {root / base.folder.path} is one of several classes; give "
            f"{'; or '.join(inner)}."
        )
    if error := archives_error(root, tree):
        return error
    if len(folders) == 1 and not base.is_split and not base.folder.images:
        if beside := _tables_beside(root, tree, base):
            return DataError(_table_sentence(root, beside))
        return single_class_error(folders[0].name)
    return DataError(
        f"{root / base.folder.path} has {counted(base.folder.image_count, 'image')}, but nothing "
        "tells their classes: it needs a folder per class, names of files that begin or end with "
        "the class, or a table with a row per image."
    )


def _table_sentence(root: Path, tables: list[str]) -> str:
    named = name_some([root / table for table in tables], 3)
    which = "the table" if len(tables) == 1 else "one of the tables"
    return f"The images of {root} have no class folders; give {which} beside them as data: {named}."


def _tables_beside(root: Path, tree: Folder, base: Base) -> list[str]:
    """Paths of the tables in the base, and in the folders that hold it or lie in it.

    Tables in archives do not count, because they can't be given as data.
    """
    near = [
        folder
        for folder in tree.walk()
        if f"{base.folder.path}/".startswith(f"{folder.path}/")
        or folder.path == ""
        or PurePosixPath(folder.path).parent == PurePosixPath(base.folder.path)
    ]
    return [
        folder.join(name)
        for folder in near
        for name in folder.others
        if PurePosixPath(name).suffix.lower() in _TABLE_SUFFIXES
        and (root / folder.join(name)).is_file()
    ]
