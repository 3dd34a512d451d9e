"""`StoredFolder`: a folder of objects in an object store."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pyarrow.fs import FileInfo, FileSelector, FileType, LocalFileSystem

from trainables.data import open_object_store
from trainables.files import write_atomically


class StoredFolder:
    """The folder ``name`` below ``storage_path``. Objects are named by their paths in the folder.

    Methods raise `OSError` if the store fails.

    Args:
        storage_path: ``s3://BUCKET/PREFIX``, or another address that pyarrow can open.
        name: Name of the folder.

    Raises `ConfigError` if the address can't be opened.
    """

    def __init__(self, storage_path: str, name: str) -> None:
        self._files, parent = open_object_store(storage_path, "storage_path")
        self._folder = f"{parent}/{name}"
        address, mark, query = storage_path.partition("?")
        self.uri = f"{address.rstrip('/')}/{name}{mark}{query}"
        """Address of the folder."""

    @property
    def local_path(self) -> Path | None:
        """The folder's path if the store is this machine's file system."""
        return Path(self._folder) if isinstance(self._files, LocalFileSystem) else None

    def names(self) -> list[str]:
        """Name of every object."""
        infos: list[FileInfo] = self._files.get_file_info(
            FileSelector(self._folder, recursive=True, allow_not_found=True)
        )
        return [
            info.path.removeprefix(f"{self._folder}/")
            for info in infos
            if info.type == FileType.File
        ]

    def read(self, name: str) -> bytes | None:
        """Content of an object; None if it does not exist."""
        try:
            with self._files.open_input_stream(f"{self._folder}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write an object. Readers see its former content or all of the new one."""
        if self.local_path is not None:
            file = self.local_path / name
            write_atomically(file, lambda partial: partial.write_bytes(content))
            return
        with self._files.open_output_stream(f"{self._folder}/{name}") as stream:
            stream.write(content)  # object stores write atomically

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        with suppress(FileNotFoundError):
            self._files.delete_file(f"{self._folder}/{name}")

    def changed_at(self, name: str) -> datetime:
        """Time of an object's last change, by the store's clock."""
        changed_at: datetime = self._files.get_file_info(f"{self._folder}/{name}").mtime
        return changed_at
