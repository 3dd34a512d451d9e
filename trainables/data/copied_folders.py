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
        copies: dict[tuple[object, ...], str] = {}
        for folder in folders if len(folders) > 1 else ():
            first = copies.setdefault(_content(root / folder, shared), folder)
            if first != folder:
                raise DataError(_sentence(root, first, folder, shared))


def _content(folder: Path, names: Sequence[str]) -> tuple[object, ...]:
    """Bytes' hashes of the first files, and sizes of all."""
    hashes = [hashlib.blake2b((folder / name).read_bytes()).digest() for name in names[:_COMPARED]]
    return (*hashes, *((folder / name).stat().st_size for name in names))


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
