"""Files of tests in object stores."""

from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem, copy_files


def below(address: str, name: str) -> str:
    """The address of an object or a prefix below ``address``; its query stays at the end."""
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
