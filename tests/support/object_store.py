"""What tests lay into object stores."""

from pathlib import Path

from pyarrow.fs import FileSystem, LocalFileSystem, copy_files


def below(address: str, name: str) -> str:
    """The address of something there."""
    place, mark, query = address.partition("?")
    return f"{place}/{name}{mark}{query}"


def put(source: Path, address: str) -> None:
    """Lay a file, or what a folder holds, at an address."""
    store, path = FileSystem.from_uri(address)
    copy_files(str(source), path, source_filesystem=LocalFileSystem(), destination_filesystem=store)


def delete(address: str) -> None:
    """Remove a file that lies at an address."""
    store, path = FileSystem.from_uri(address)
    store.delete_file(path)
