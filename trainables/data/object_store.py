"""Images in an object store, such as S3, and their local copy.

Images are opened more than once (for another size, or after the cache has evicted their pixels), so
they are copied rather than streamed. The copy is then read like any local folder or table.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from spaces import ConfigError, DataError, UserError
from spaces.errors import first_line
from trainables.data.disk_cache import free_bytes
from trainables.files import write_atomically
from trainables.progress import Progress

_PARALLEL_DOWNLOADS = 16
"""Number of concurrent downloads. They hide the store's latency, which dominates small files."""


def open_object_store(address: str, setting: str) -> tuple[Any, str]:
    """PyArrow file system, and path in it, for an address such as ``s3://BUCKET/PREFIX``.

    Raises `ConfigError` if the address is malformed, contains a secret, or can't be reached. The
    error names the ``setting`` that holds the address.
    """
    wrong = f"{setting} must be an address such as s3://BUCKET/PREFIX, not {address!r}"
    _, _, rest = address.partition("://")
    if not rest.partition("?")[0].strip("/"):
        raise ConfigError(f"{wrong}.")
    _refuse_secrets(address, setting)
    try:
        store, path = FileSystem.from_uri(address)
    except ValueError as error:
        raise ConfigError(f"{wrong} ({first_line(error)}).") from None
    except OSError as error:
        raise ConfigError(
            f"{setting} {address!r} can't be reached ({first_line(error)}); check the network, and "
            "append the region to the address, such as ?region=eu-west-1."
        ) from None
    return store, path.rstrip("/")


def _refuse_secrets(address: str, setting: str) -> None:
    scheme = address.partition("://")[0]
    user, _, _ = urlsplit(address).netloc.rpartition("@")
    if ":" in user or (user and scheme == "s3"):
        raise ConfigError(
            f"{setting} must hold no secrets, because it is saved to disk; set environment "
            "variables instead (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3)."
        )


class RemoteData:
    """A folder or a table of images in an object store, and its local copy.

    The constructor raises `ConfigError` like `open_object_store`; the methods raise `DataError`.
    """

    def __init__(self, address: str, cache: Path) -> None:
        self._address, self._cache = address, cache
        self._store, self._path = open_object_store(address, "data")
        self._parent = self._path.rpartition("/")[0]
        query = address.partition("?")[2]
        identity = f"{self._store.type_name} {self._parent} {query}".encode()
        name = hashlib.blake2b(identity, digest_size=12).hexdigest()
        self._root = cache.resolve() / "copies" / name
        """Local folder that mirrors `_parent`."""

    @property
    def local_path(self) -> Path:
        """Path of the local copy, which `synchronize` creates."""
        return self._root / self._path.rpartition("/")[2]

    def check(self) -> None:
        """Raise `DataError` if there is nothing at the address."""
        self._info()

    def synchronize(self, progress: Progress) -> None:
        """Make the local copy equal to the folder or table at the address.

        Copies new and changed files, and deletes local files that the store no longer has. Does not
        copy the images that a table lists; see `synchronize_images`.
        """
        info = self._info()
        with self._locked(progress), self._store_errors_as_data_errors():
            if info.type == FileType.File:
                self._mirror({self.local_path: info}, [self.local_path], progress)
                return
            listed = self._store.get_file_info(FileSelector(self._path, recursive=True))
            remote = self._local_paths(listed)
            if not remote:
                raise DataError(f"There are no files at {self._address}; give a folder of images.")
            self._mirror(remote, self.local_path.rglob("*"), progress)

    def synchronize_images(self, paths: Iterable[Path], progress: Progress) -> None:
        """Copy the images that a table lists. ``paths`` are the local paths of their copies.

        Images that the store does not have are skipped. Raises `DataError` if a path is not below
        the table's own folder.
        """
        wanted = {Path(os.path.normpath(path)) for path in paths}
        for path in wanted:
            inside = path.is_relative_to(self._root) and path != self._root
            if not inside or path.relative_to(self._root).parts[0].endswith(":"):
                raise DataError(
                    f"{self._address} lists {path}, which is not below the table's own folder; "
                    "write its paths relative to it."
                )
        with self._locked(progress), self._store_errors_as_data_errors():
            remote: dict[Path, FileInfo] = {}
            local = set(wanted)
            for folder in {path.parent for path in wanted}:
                local |= set(folder.glob("*.partial"))  # left by a dead process
                parts = [self._parent, *folder.relative_to(self._root).parts]
                selector = FileSelector("/".join(filter(None, parts)), allow_not_found=True)
                remote |= self._local_paths(self._store.get_file_info(selector))
            remote = {path: info for path, info in remote.items() if path in wanted}
            self._mirror(remote, local, progress)

    def _info(self) -> FileInfo:
        """File information for the address. Raises `DataError` if nothing is there."""
        with self._store_errors_as_data_errors():
            info = self._store.get_file_info(self._path)
            if info.type == FileType.NotFound:
                raise DataError(
                    f"There is nothing at {self._address}; give a folder, a table or an archive."
                )
        return info

    def _local_paths(self, infos: Iterable[FileInfo]) -> dict[Path, FileInfo]:
        """Files in the store by the local path of their copy.

        Raises `DataError` if a name in the store can't be a local path.
        """
        by_path = {}
        for info in infos:
            if info.type == FileType.File:
                parts = info.path[len(self._parent) :].strip("/").split("/")
                if ".." in parts:
                    raise DataError(
                        f'{self._address} has the file {info.path!r} with ".."; rename it.'
                    )
                by_path[self._root.joinpath(*parts)] = info
        for path, info in by_path.items():
            if path.parent in by_path:
                raise DataError(
                    f"{self._address} has a file with the same name as the folder of "
                    f"{info.path!r}; rename one of them."
                )
        return by_path

    def _mirror(
        self, remote: Mapping[Path, FileInfo], local: Iterable[Path], progress: Progress
    ) -> None:
        """Delete ``local`` files that ``remote`` lacks, and download new and changed files."""
        for path in sorted(local, reverse=True):  # contents before their folder
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path not in remote:
                path.unlink(missing_ok=True)
        missing = {path: info for path, info in remote.items() if not _is_copy(path, info)}
        size_bytes, room_bytes = sum(i.size for i in missing.values()), free_bytes(self._cache)
        if missing and size_bytes > room_bytes:
            raise DataError(
                f"{self._address} has {size_bytes / 2**30:.1f} GiB still to be copied, and "
                f"{self._cache} has room for {max(room_bytes, 0) / 2**30:.1f} GiB; "
                "choose another cache_dir."
            )
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            downloads = pool.map(self._download, missing.values(), missing)
            for done, _ in enumerate(downloads, start=1):
                progress("fetching images", done, len(missing))

    def _download(self, info: FileInfo, path: Path) -> None:
        def write(partial: Path) -> None:
            with self._store.open_input_stream(info.path) as stream, partial.open("wb") as file:
                shutil.copyfileobj(stream, file, 2**20)

        write_atomically(path, write)
        if info.mtime_ns is not None:
            os.utime(path, ns=(info.mtime_ns, info.mtime_ns))

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
        """Hold the local copy's lock, so that only one process at a time changes the copy."""
        self._root.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._root.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress("waiting for another sweep that fetches images", 0, 0)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _store_errors_as_data_errors(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a file name that pyarrow rejects
            raise DataError(
                f"The data at {self._address} can't be read ({first_line(error)}); check the "
                "address, the credentials, the file names and the disk of cache_dir."
            ) from None


def _is_copy(path: Path, info: FileInfo) -> bool:
    """Whether a local file has the remote file's size and (if known) modification time."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    return stat.st_size == info.size and info.mtime_ns in (None, stat.st_mtime_ns)
