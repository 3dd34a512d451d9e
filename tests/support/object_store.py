"""Upload and delete files in an object store."""

from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem, copy_files


def below(address: str, name: str) -> str:
    """Append ``name`` to an address, before the query string if it has one."""
    place, mark, query = address.partition("?")
    return f"{place}/{name}{mark}{query}"


def put(source: Path, address: str) -> None:
    """Upload a file, or the contents of a folder, to an address."""
    store, path = FileSystem.from_uri(address)
    copy_files(str(source), path, source_filesystem=LocalFileSystem(), destination_filesystem=store)


def delete(address: str) -> None:
    """Delete the object at an address."""
    store, path = FileSystem.from_uri(address)
    store.delete_file(path)
