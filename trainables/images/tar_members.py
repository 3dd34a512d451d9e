"""Members of a tar archive: the name and place of each of its files, which are read there."""

import errno
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from spaces import DataError
from trainables.images.container import ImageContainer

_BLOCK = 512
"""Bytes of a header."""
_PADDING_BYTES = 2**20
"""Number of bytes after the last file that are looked at; most archives are filled up to 10 KiB."""
_COMPRESSED = {
    b"\x1f\x8b": "gzip -d",
    b"BZh": "bzip2 -d",
    b"\xfd7zXZ": "xz -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
}
"""Command that decompresses a file, by its first bytes."""


class TarMember(NamedTuple):
    """File in a tar archive."""

    name: str
    """Path in the archive, without "./" and "/" at its beginning."""
    offset: int
    """Place of the first byte of its content in the archive."""
    size: int
    """Size of the content in bytes."""


class TarArchive(ImageContainer):
    """Files in a tar archive. Their places are read once, from its headers.

    Raises `DataError` as `tar_members` does, or if two files have the same name.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        for name, offset, size in tar_members(file):
            if name in self._places:
                raise DataError(
                    f"{file} holds two files called {name!r}; make it again with each file once."
                )
            self._places[name] = (offset, size)

    @property
    def names(self) -> Collection[str]:
        """See `ImageContainer.names`."""
        return self._places.keys()

    def size_bytes(self, name: str) -> int:
        """See `ImageContainer.size_bytes`."""
        return self._places[name][1]

    def contents(self, names: Iterable[str]) -> Iterator[bytes]:
        """See `ImageContainer.contents`. The archive is opened once."""
        descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for name in names:
                offset, size = self._places[name]
                content = os.pread(descriptor, size, offset)
                if len(content) < size:
                    path = str(self._file / name)
                    raise OSError(errno.EIO, "its archive is cut off", path)
                yield content
        finally:
            os.close(descriptor)


def tar_members(file: Path) -> Iterator[TarMember]:
    """Yield the files of a tar archive in its order, then the links to them. Reads no contents.

    Folders, and links to elsewhere, are passed over. Raises `DataError` if the archive is
    compressed, damaged, cut off, joined of several, or has sparse files.
    """
    places: dict[str, TarMember] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                name = _plain(member.name)
                if member.issparse():
                    raise DataError(
                        f"{file} has sparse files, which can't be read in an archive; unpack it."
                    )
                if member.isreg():
                    places[name] = TarMember(name, member.offset_data, member.size)
                    yield places[name]
                elif member.islnk():
                    links[name] = _plain(member.linkname)
                elif member.issym():
                    links[name] = _plain(posixpath.join(posixpath.dirname(name), member.linkname))
            end = archive.offset
    except tarfile.ReadError:
        raise _refusal(file) from None
    _check_end(file, end)
    for name, target in links.items():
        if target in places:
            yield places[target]._replace(name=name)


def _refusal(file: Path) -> DataError:
    """Error for a file that `tarfile` can't read."""
    with file.open("rb") as stream:
        head = stream.read(_BLOCK)
    for begin, command in _COMPRESSED.items():
        if head.startswith(begin):
            return DataError(
                f"{file} is compressed, and images are read from uncompressed archives only; run "
                f"{command} on it, or unpack it."
            )
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return DataError(f"{file} is not a tar archive; rename or remove it.")
    return _cut_off(file)


def _check_end(file: Path, position: int) -> None:
    """Raise `DataError` if the archive does not end at ``position``, with empty blocks.

    `tarfile` takes a damaged header for the end.
    """
    with file.open("rb") as stream:
        stream.seek(position)
        rest = stream.read(_PADDING_BYTES)
    if len(rest) < _BLOCK:
        raise _cut_off(file)
    if rest.strip(b"\0"):
        raise DataError(
            f"{file} is damaged at byte {position}, or is several archives joined into one; unpack "
            "it, or make it again."
        )


def _cut_off(file: Path) -> DataError:
    return DataError(f"{file} is cut off: its end is missing; copy it or make it again.")


def _plain(name: str) -> str:
    """Name as a `Path` spells it."""
    if name.startswith((".", "/")) or "./" in name or "//" in name:
        return posixpath.normpath(name).lstrip("/")
    return name
