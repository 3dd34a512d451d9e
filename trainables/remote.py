"""Images in an object store: a copy on this machine, brought up to date whenever it is asked for.

They are opened more than once (for another size, or when the cache made way), so they are copied
and not streamed. What was copied is read as if it had always been on this disk.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from spaces import ConfigError, DataError
from trainables.cache import free_bytes
from trainables.files import write_whole
from trainables.progress import Progress

_AT_A_TIME = 16
"""Objects under way: a store takes a while to answer, however small they are."""


def open_store(address: str, setting: str) -> tuple[Any, str]:
    """The file system that an address such as ``s3://BUCKET/PREFIX`` means, and the path in it.

    Raises `ConfigError`, naming the ``setting``, for one that is none or that holds a secret.
    """
    wrong = f"{setting} must be an address such as s3://BUCKET/PREFIX, not {address!r}"
    if "://" not in address:
        raise ConfigError(f"{wrong}.")
    if "@" in address.partition("?")[0]:
        raise ConfigError(
            f"{setting} must hold no secrets, for it is written down; give them as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment."
        )
    try:
        store, path = FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{wrong} ({first_line(error)}).") from None
    return store, path.rstrip("/")


def first_line(error: Exception) -> str:
    """What an error says first; those of stores go on for long."""
    return str(error).strip().splitlines()[0]


class Remote:
    """A folder of images, or a table that lists some beside it, at an address; and its copy here.

    Raises `ConfigError` for an address that is none; its methods raise `DataError`.
    """

    def __init__(self, address: str, cache: Path) -> None:
        self._address, self._cache = address, cache
        self._store, self._path = open_store(address, "data")
        self._above = self._path.rpartition("/")[0]
        query = address.partition("?")[2]
        mark = f"{self._store.type_name} {self._above} {query}".encode()
        self._root = cache / "copies" / hashlib.blake2b(mark, digest_size=12).hexdigest()
        """Where what lies beside the data, there, lies here."""

    @property
    def copy(self) -> Path:
        """Where the data lie here once they were brought."""
        return self._place(self._path)

    def check(self) -> None:
        """See whether there is something at the address."""
        self._look()

    def bring(self, progress: Progress) -> None:
        """Copy what is new or has changed in the folder, and remove what is gone; or the table."""
        found = self._look()
        with self._locked():
            if found.type == FileType.File:
                self._fetch([found], progress)
                return
            with self._told():
                listed = self._store.get_file_info(FileSelector(self._path, recursive=True))
            files = [info for info in listed if info.type == FileType.File]
            self._fetch(files, progress)
            wanted = {self._place(info.path) for info in files}
            for path in [path for path in self.copy.rglob("*") if path.is_file()]:
                if path not in wanted:
                    path.unlink()

    def bring_listed(self, paths: Iterable[Path], progress: Progress) -> None:
        """Copy the images to where the table that was brought says they lie; those there are."""
        names = [Path(os.path.normpath(path)) for path in paths]
        if strange := [name for name in names if not name.is_relative_to(self._root)]:
            raise DataError(
                f"{self._address} lists {strange[0]}, which is not below the table's own folder; "
                "write its paths relative to it."
            )
        above = f"{self._above}/" if self._above else ""
        there = [above + name.relative_to(self._root).as_posix() for name in dict.fromkeys(names)]
        with self._locked():
            with self._told():
                infos = self._store.get_file_info(there)
            self._fetch([info for info in infos if info.type == FileType.File], progress)

    def _look(self) -> FileInfo:
        with self._told():
            found = self._store.get_file_info(self._path)
        if found.type == FileType.NotFound:
            raise DataError(f"There is nothing at {self._address}; give a folder, CSV or Parquet.")
        return found

    def _fetch(self, infos: Sequence[FileInfo], progress: Progress) -> None:
        missing = [info for info in infos if not _is_copy(self._place(info.path), info)]
        size, free = sum(info.size for info in missing), free_bytes(self._cache)
        if size > free:
            raise DataError(
                f"{self._address} has {size / 2**30:.1f} GiB that are not here yet, and "
                f"{self._cache} has room for {max(free, 0) / 2**30:.1f}; name another cache_dir."
            )
        with self._told(), ThreadPoolExecutor(_AT_A_TIME) as pool:
            for done, _ in enumerate(pool.map(self._copy, missing), start=1):
                progress("fetching images", done, len(missing))

    def _copy(self, info: FileInfo) -> None:
        def write(partial: Path) -> None:
            with self._store.open_input_stream(info.path) as stream, partial.open("wb") as file:
                shutil.copyfileobj(stream, file, 2**20)

        place = self._place(info.path)
        write_whole(place, write)
        os.utime(place, ns=(info.mtime_ns, info.mtime_ns))

    def _place(self, path: str) -> Path:
        """Where an object lies here: as it does there."""
        parts = path[len(self._above) :].strip("/").split("/")
        if ".." in parts:
            raise DataError(f"{self._address} has {path!r}, whose name leaves it; rename it.")
        return self._root.joinpath(*parts)

    def _locked(self) -> FileLock:
        self._root.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._root.with_suffix(".lock"))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"The data at {self._address} can't be had ({first_line(error)}); check the "
                "address, the credentials and the disk of cache_dir."
            ) from None


def _is_copy(place: Path, info: FileInfo) -> bool:
    """Whether what lies here is what lies there, by size and time."""
    try:
        stat = place.stat()
    except FileNotFoundError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (info.size, info.mtime_ns)
