"""Tar headers: the name and place of every file in an uncompressed tar archive.

The formats are ustar, GNU and pax. Python's `tarfile` reads the same headers with about ten times
the work for each (measured in tests/benchmarks/archives.py), which counts where a set has millions
of files.
"""

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from spaces import DataError

_BLOCK = 512
"""Bytes of a header. The contents of files are filled up to a multiple of it."""
_BUFFER_BYTES = 4096
"""Bytes that are read at once: the headers of several small files."""
_PADDING_BYTES = 2**20
"""Number of bytes after the end mark that are looked at; most archives are filled up to 10 KiB."""
_REGULAR = (b"0", b"\0", b"7")
"""Types of regular files."""
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Types of links, devices, folders and pipes, which have no content whatever size is given."""
_COMPRESSED = {
    b"\x1f\x8b": "gzip -d",
    b"BZh": "bzip2 -d",
    b"\xfd7zXZ": "xz -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
}
"""Command that decompresses a file, by its first bytes."""


class TarMember(NamedTuple):
    """Regular file in a tar archive."""

    name: str
    """Path in the archive, without "./" and "/" at its beginning."""
    offset: int
    """Place of the first byte of its content in the archive."""
    size: int
    """Size of the content in bytes."""


def tar_members(file: Path) -> Iterator[TarMember]:
    """Yield the regular files of a tar archive in its order. Reads no contents.

    Folders and links are passed over. Raises `DataError` if the archive is compressed, damaged, cut
    off, joined of several, or has sparse files.
    """
    with file.open("rb", buffering=_BUFFER_BYTES) as stream:
        size_bytes = stream.seek(0, 2)
        position, extended = 0, dict[str, str]()
        while True:
            stream.seek(position)
            header = stream.read(_BLOCK)
            if not header.strip(b"\0") or (position and len(header) < _BLOCK):
                break
            _check_header(header, file, position)
            kind = header[156:157]
            size = int(extended["size"]) if "size" in extended else _number(header[124:136])
            start = position + _BLOCK
            content = 0 if kind in _WITHOUT_CONTENT else size
            position = start + -(-content // _BLOCK) * _BLOCK
            if start + content > size_bytes:
                raise _cut_off(file)
            if kind == b"x":
                extended |= _pax_records(stream.read(size))
            elif kind == b"L":
                extended["path"] = _text(stream.read(size))
            elif kind not in (b"g", b"K"):
                if kind == b"S" or "GNU.sparse.major" in extended:
                    raise DataError(f"{file} has sparse files, which have no place; unpack it.")
                if kind in _REGULAR:
                    name = extended.get("path") or _name(header)
                    if not name.endswith("/"):  # in the oldest format, the name of a folder
                        yield TarMember(_plain(name), start, size)
                extended = {}
        _check_end(stream, file, position)


def _check_header(header: bytes, file: Path, position: int) -> None:
    """Raise `DataError` if a block is no header. The checksum stands for a missing magic number."""
    if header[257:262] == b"ustar":
        return
    fields = header[148:156].strip(b" \0")
    if fields.isdigit() and int(fields, 8) == sum(header[:148]) + sum(header[156:]) + 256:
        return
    if position:
        raise DataError(f"{file} is damaged at byte {position}; copy it or make it again.")
    for begin, command in _COMPRESSED.items():
        if header.startswith(begin):
            raise DataError(
                f"{file} is compressed, so its images have no place that they could be read from; "
                f"run {command} on it, or unpack it."
            )
    raise DataError(f"{file} is not a tar archive; rename or remove it.")


def _check_end(stream: BinaryIO, file: Path, position: int) -> None:
    """Raise `DataError` if the archive does not end at ``position`` with empty blocks."""
    stream.seek(position)
    rest = stream.read(_PADDING_BYTES)
    if len(rest) < _BLOCK:
        raise _cut_off(file)
    if rest.strip(b"\0"):
        raise DataError(
            f"{file} goes on after its end, as several archives joined into one do; unpack it, or "
            "make it again."
        )


def _cut_off(file: Path) -> DataError:
    return DataError(f"{file} is cut off: its end is missing; copy it or make it again.")


def _number(field: bytes) -> int:
    """Number in a header: octal digits, or bytes where these don't suffice."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _plain(name: str) -> str:
    """Name as a `Path` spells it."""
    if name.startswith((".", "/")) or "./" in name or "//" in name:
        return posixpath.normpath(name).lstrip("/")
    return name


def _pax_records(content: bytes) -> Mapping[str, str]:
    """Records of an extended header, each of which is "LENGTH KEY=VALUE" and a line's end."""
    records = {}
    while content:
        length = int(content.partition(b" ")[0])
        key, _, value = content[:length].partition(b" ")[2].partition(b"=")
        records[key.decode()] = value[:-1].decode("utf-8", "surrogateescape")
        content = content[length:]
    return records
