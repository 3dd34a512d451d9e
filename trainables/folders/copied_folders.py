"""Copied folders: two folders of a data source that hold the same images."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from spaces import DataError
from trainables.images import read_image_file, stamp_of

_FEWEST = 3
"""Number of images that two folders must share to count as copies; fewer may agree by chance."""
_COMPARED = 3
"""Number of images whose bytes are compared, after the names and sizes of all."""


def refuse_copied_folders(
    root: Path, paths: Iterable[str], place: Callable[[str], str] = str
) -> None:
    """Raise `DataError` if the images of one folder are those of another one.

    ``paths`` are relative to ``root``; ``place`` gives the path on disk of each. Folders are copies
    if all images directly in them have the same names and sizes, and the first ones the same bytes.
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
        files = {
            folder: [root / place(f"{folder}/{name}" if folder else name) for name in shared]
            for folder in (folders if len(folders) > 1 else ())
        }
        begun: dict[bytes, list[str]] = defaultdict(list)
        for folder in files:
            begun[_first_content(files[folder])].append(folder)
        for candidates in begun.values():
            _refuse_equal_sizes(root, {folder: files[folder] for folder in candidates})


def _first_content(files: Sequence[Path]) -> bytes:
    """Hash of the bytes of the first files."""
    content = b"".join(read_image_file(file) for file in files[:_COMPARED])
    return hashlib.blake2b(content).digest()


def _refuse_equal_sizes(root: Path, files: Mapping[str, Sequence[Path]]) -> None:
    """Raise `DataError` if all files of two folders, whose first files are equal, have one size."""
    copies: dict[tuple[int, ...], str] = {}
    for folder in files if len(files) > 1 else ():
        sizes = tuple(stamp_of(file)[0] for file in files[folder])
        if sizes in copies:
            names = [file.name for file in files[folder]]
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
