"""Image files by their path, which may lead into a tar archive: "shards/train-0001.tar/cat/1.jpg".

Contents of archives are read where they lie. The places of an archive's files are read once in a
process, from its headers.
"""

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from spaces import DataError
from trainables.images.tar_members import tar_members

ARCHIVE_SUFFIX = ".tar"
"""Suffix of archives, in lower case."""

FileStamp = tuple[int, ...]
"""Size, modification time and change time (ns) of a file; empty if it can't be read. For a file in
an archive, the times are those of the archive."""

_WITHIN = re.compile(rf"(?<=[^/]{re.escape(ARCHIVE_SUFFIX)})/", re.IGNORECASE)
"""Place in a path after the name of an archive."""


def read_image_file(path: Path) -> bytes:
    """Content of an image file. Raises `OSError`, or `DataError` if its archive is damaged."""
    for archive, name in _possible_archives(path):
        if (found := _opened(archive)) is not None:
            descriptor, stamp = found
            try:
                offset, size = _place(archive, stamp, name)
                content = os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
            if len(content) < size:
                raise OSError(errno.EIO, "its archive is cut off", str(path))
            return content
    return path.read_bytes()


def stamp_of(path: Path) -> FileStamp:
    """Stamp of an image file, which changes whenever its content may have changed."""
    try:
        for archive, name in _possible_archives(path):
            status = archive.stat()
            if stat.S_ISREG(status.st_mode):
                stamp = _stamp(status)
                return (_place(archive, stamp, name)[1], *stamp[1:])
        return _stamp(path.stat())
    except (OSError, DataError):
        return ()


def archive_members(archive: Path) -> list[str]:
    """Names of all regular files in an archive, in its order.

    Raises `DataError` if it can't be read, or holds two files of the same name.
    """
    try:
        return list(_places(archive, _stamp(archive.stat())))
    except OSError as error:
        raise DataError(f"{archive} can't be read ({error.strerror}); check the file.") from None


def read_members(archive: Path, names: Iterable[str]) -> Iterator[bytes]:
    """Yield the contents of files in an archive, which is opened once."""
    found = _opened(archive)
    if found is None:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(archive))
    descriptor, stamp = found
    try:
        for name in names:
            offset, size = _place(archive, stamp, name)
            yield os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


def _possible_archives(path: Path) -> Iterator[tuple[Path, str]]:
    """Archives that a path may lead into by its spelling, and the name of the file in each."""
    text = str(path)
    for match in _WITHIN.finditer(text):
        yield Path(text[: match.start()]), text[match.end() :]


def _opened(archive: Path) -> tuple[int, FileStamp] | None:
    """Descriptor and stamp of an archive, to be closed by the caller; None if it is a folder."""
    descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        return descriptor, _stamp(status)
    os.close(descriptor)
    return None


def _stamp(status: os.stat_result) -> FileStamp:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _place(archive: Path, stamp: FileStamp, name: str) -> tuple[int, int]:
    """Offset and size in bytes of a file in an archive. Raises `FileNotFoundError`."""
    try:
        return _places(archive, stamp)[name]
    except KeyError:
        missing = str(archive / name)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), missing) from None


@cache
def _places(archive: Path, stamp: FileStamp) -> dict[str, tuple[int, int]]:
    """Offset and size of each file in an archive that has this stamp, by its name."""
    places: dict[str, tuple[int, int]] = {}
    for name, offset, size in tar_members(archive):
        if name in places:
            raise DataError(
                f"{archive} holds two files called {name!r}; make it again with each file once."
            )
        places[name] = (offset, size)
    return places
