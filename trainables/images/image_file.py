"""Image files by their path, which may lead into a container, and are read where they lie.

A container is a tar archive or a Parquet file: "train-0001.tar/cat/1.jpg", "train.parquet/12". What
it holds is listed once in a process.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from spaces import DataError
from trainables.images.container import ImageContainer
from trainables.images.parquet_images import ParquetImages
from trainables.images.tar_members import TarArchive

ARCHIVE_SUFFIX = ".tar"
"""Suffix of archives, in lower case."""
PARQUET_SUFFIX = ".parquet"
"""Suffix of Parquet files, in lower case."""
_CONTAINERS: dict[str, Callable[[Path], ImageContainer]] = {
    ARCHIVE_SUFFIX: TarArchive,
    PARQUET_SUFFIX: ParquetImages,
}
"""Kind of container by its suffix."""

FileStamp = tuple[int, ...]
"""Size, modification time and change time (ns) of a file; empty if it can't be read. For a file in
a container, the times are those of the container, and the size may be an estimate."""

_WITHIN = re.compile("|".join(rf"(?<=[^/]{re.escape(s)})/" for s in _CONTAINERS), re.IGNORECASE)
"""Place in a path after the name of a container."""


def read_image_file(path: Path) -> bytes:
    """Content of an image file. Raises `OSError` or `ValueError`.

    Raises `DataError` if its container is damaged.
    """
    for file, name in _possible_containers(path):
        if (found := _container_at(file)) is not None:
            return next(_contents(found[0], file, [name]))
    return path.read_bytes()


def stamp_of(path: Path) -> FileStamp:
    """Stamp of an image file, which changes whenever its content may have changed."""
    try:
        for file, name in _possible_containers(path):
            if (found := _container_at(file)) is not None:
                container, stamp = found
                return (container.size_bytes(name), *stamp[1:])
        return _stamp(path.stat())
    except (OSError, KeyError, DataError):
        return ()


def open_container(file: Path) -> ImageContainer:
    """Open a Parquet file, known by its suffix, or else a tar archive.

    Raises `DataError` if it can't be read, or an archive holds two files of the same name.
    """
    try:
        found = _container_at(file)
    except OSError as error:
        raise DataError(f"{file} can't be read ({error.strerror}); check the file.") from None
    if found is None:
        raise DataError(f"{file} is a folder; give a file.")
    return found[0]


def images_within(path: Path) -> tuple[ImageContainer, Path, list[str]] | None:
    """Container that ``path`` is, or leads into, its file, and the names below ``path`` in it.

    None if ``path`` is or leads to a single image, a folder, or nothing. Raises `DataError` if the
    container can't be read.
    """
    for file, name in (*_possible_containers(path), (path, "")):
        if file.suffix.lower() in _CONTAINERS and file.is_file():
            container = open_container(file)
            if not name:
                return container, file, list(container.names)
            if name in container.names:
                return None
            names = [found for found in container.names if found.startswith(f"{name}/")]
            return (container, file, names) if names else None
    return None


def read_members(archive: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the contents of files in an archive, which is opened once."""
    found = _container_at(archive)
    if found is None:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(archive))
    yield from _contents(found[0], archive, names)


def _possible_containers(path: Path) -> Iterator[tuple[Path, str]]:
    """Containers that a path may lead into by its spelling, and the name of the file in each."""
    text = str(path)
    for match in _WITHIN.finditer(text):
        yield Path(text[: match.start()]), text[match.end() :]


def _container_at(file: Path) -> tuple[ImageContainer, FileStamp] | None:
    """Container, and the stamp of its file; None if it is a folder."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        return None
    stamp = _stamp(status)
    return _opened(file, stamp), stamp


@cache
def _opened(file: Path, stamp: FileStamp) -> ImageContainer:
    """Container that has this stamp."""
    return _CONTAINERS.get(file.suffix.lower(), TarArchive)(file)


def _contents(container: ImageContainer, file: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Contents of files in a container. Raises `FileNotFoundError`."""
    try:
        yield from container.contents(names)
    except KeyError as error:
        missing = str(file / error.args[0])
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), missing) from None


def _stamp(status: os.stat_result) -> FileStamp:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
