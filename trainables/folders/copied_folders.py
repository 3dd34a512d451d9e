"""Copied folders: two folders of a data source that hold the same images."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from spaces import DataError

_FEWEST = 3
"""Number of images that two folders must share to count as copies; fewer may agree by chance."""
_COMPARED = 3
"""Number of images whose bytes are compared, after the names and sizes of all."""


def refuse_copied_folders(root: Path, paths: Iterable[str]) -> None:
    """Raise `DataError` if the images of one folder are those of another one.

    ``paths`` are relative to ``root``. Folders are copies if all images directly in them have the
    same names and sizes, and the first ones the same bytes.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder[folder].append(name)
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for folder, names in by_folder.items():
        if len(names) >= _FEWEST:
            alike[tuple(sorted(names))].append(folder)
    for shared, folders in alike.items():
        begun: dict[bytes, list[str]] = defaultdict(list)
        for folder in folders if len(folders) > 1 else ():
            begun[_first_content(root / folder, shared)].append(folder)
        for candidates in begun.values():
            _refuse_equal_sizes(root, candidates, shared)


def _first_content(folder: Path, names: Sequence[str]) -> bytes:
    """Hash of the bytes of the first files."""
    content = b"".join((folder / name).read_bytes() for name in names[:_COMPARED])
    return hashlib.blake2b(content).digest()


def _refuse_equal_sizes(root: Path, folders: Sequence[str], names: Sequence[str]) -> None:
    """Raise `DataError` if all files of two folders, whose first files are equal, have one size."""
    copies: dict[tuple[int, ...], str] = {}
    for folder in folders if len(folders) > 1 else ():
        sizes = tuple((root / folder / name).stat().st_size for name in names)
        if sizes in copies:
            raise DataError(_sentence(root, copies[sizes], folder, names))
        copies[sizes] = folder


def _sentence(root: Path, first: str, second: str, names: Sequence[str]) -> str:
    deeper = max(first, second, key=lambda folder: (folder.count("/"), folder))
    return (
        f"The folders {first or '.'} and {second or '.'} of {root} hold the same {len(names)} "
        f"images (equal names and contents, such as {names[0]}); leave one of them out, as with "
        f"--ignore {_pattern(deeper)!r}."
    )


def _pattern(folder: str) -> str:
    """Pattern that ignores this folder only, and not others of its name."""
    return folder if "/" in folder else f"/{folder}"
