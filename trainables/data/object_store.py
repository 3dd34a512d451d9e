"""Images in an object store: a copy on this machine, brought up to date whenever it is asked for.

They are opened more than once (for another size, or when the cache made way), so they are copied
and not streamed. What was copied is read as if it had always been on this disk.
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
from trainables.files import write_whole
from trainables.progress import Progress

_AT_A_TIME = 16
"""Objects under way: a store takes a while to answer, however small they are."""


def open_store(address: str, setting: str) -> tuple[Any, str]:
    """The file system that an address such as ``s3://BUCKET/PREFIX`` means, and the path in it.

    Raises `ConfigError`, naming the ``setting``, for one that is none or that holds a secret.
    """
    wrong = f"{setting} must be an address such as s3://BUCKET/PREFIX, not {address!r}"
    scheme, _, rest = address.partition("://")
    if not rest.partition("?")[0].strip("/"):
        raise ConfigError(f"{wrong}.")
    user, _, _ = urlsplit(address).netloc.rpartition("@")
    if ":" in user or (user and scheme == "s3"):
        raise ConfigError(
            f"{setting} must hold no secrets, for it is written down; give them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3)."
        )
    try:
        store, path = FileSystem.from_uri(address)
    except ValueError as error:
        raise ConfigError(f"{wrong} ({first_line(error)}).") from None
    except OSError as error:
        raise ConfigError(
            f"{setting} {address!r} can't be reached ({first_line(error)}); check the network, and "
            "name the region, as ?region=eu-west-1 at its end."
        ) from None
    return store, path.rstrip("/")


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
        name = hashlib.blake2b(mark, digest_size=12).hexdigest()
        self._root = cache.resolve() / "copies" / name
        """Where what lies beside the data, there, lies here."""

    @property
    def copy(self) -> Path:
        """Where the data lie here once they were brought."""
        return self._root / self._path.rpartition("/")[2]

    def check(self) -> None:
        """See whether there is something at the address."""
        self._look()

    def bring(self, progress: Progress) -> None:
        """Copy what is new or has changed in the folder, and remove what is gone; or the table."""
        found = self._look()
        with self._locked(progress), self._told():
            if found.type == FileType.File:
                self._follow({self.copy: found}, [self.copy], progress)
                return
            listed = self._store.get_file_info(FileSelector(self._path, recursive=True))
            there = self._placed(listed)
            if not there:
                raise DataError(f"There are no files at {self._address}; give a folder of images.")
            self._follow(there, self.copy.rglob("*"), progress)

    def bring_listed(self, paths: Iterable[Path], progress: Progress) -> None:
        """Copy the images to where the table that was brought says they lie; those there are."""
        wanted = {Path(os.path.normpath(path)) for path in paths}
        for place in wanted:
            inside = place.is_relative_to(self._root) and place != self._root
            if not inside or place.relative_to(self._root).parts[0].endswith(":"):
                raise DataError(
                    f"{self._address} lists {place}, which is not below the table's own folder; "
                    "write its paths relative to it."
                )
        with self._locked(progress), self._told():
            there: dict[Path, FileInfo] = {}
            here = set(wanted)
            for folder in {place.parent for place in wanted}:
                here |= set(folder.glob("*.partial"))  # of a process that died: we hold the lock
                path = "/".join(filter(None, [self._above, *folder.relative_to(self._root).parts]))
                listed = self._store.get_file_info(FileSelector(path, allow_not_found=True))
                there |= self._placed(listed)
            there = {place: info for place, info in there.items() if place in wanted}
            self._follow(there, here, progress)

    def _look(self) -> FileInfo:
        with self._told():
            found = self._store.get_file_info(self._path)
            if found.type == FileType.NotFound:
                raise DataError(
                    f"There is nothing at {self._address}; give a folder, CSV or Parquet."
                )
        return found

    def _placed(self, infos: Iterable[FileInfo]) -> dict[Path, FileInfo]:
        """Files by where they lie here: as they do there."""
        placed = {}
        for info in infos:
            if info.type == FileType.File:
                parts = info.path[len(self._above) :].strip("/").split("/")
                if ".." in parts:
                    raise DataError(
                        f"{self._address} has {info.path!r}, whose name leaves it; rename it."
                    )
                placed[self._root.joinpath(*parts)] = info
        for place, info in placed.items():
            if place.parent in placed:
                raise DataError(
                    f"{self._address} has a file where {info.path!r} needs a folder; rename it."
                )
        return placed

    def _follow(
        self, there: Mapping[Path, FileInfo], here: Iterable[Path], progress: Progress
    ) -> None:
        """Make of what may lie ``here`` what lies ``there``."""
        for place in sorted(here, reverse=True):  # what lies in a folder before the folder
            if place.is_dir():
                if not any(place.iterdir()):
                    place.rmdir()
            elif place not in there:
                place.unlink(missing_ok=True)
        missing = {place: info for place, info in there.items() if not _is_copy(place, info)}
        size, free = sum(info.size for info in missing.values()), free_bytes(self._cache)
        if missing and size > free:
            raise DataError(
                f"{self._address} has {size / 2**30:.1f} GiB that are not here yet, and "
                f"{self._cache} has room for {max(free, 0) / 2**30:.1f}; name another cache_dir."
            )
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            copied = pool.map(self._copy, missing.values(), missing)
            for done, _ in enumerate(copied, start=1):
                progress("fetching images", done, len(missing))

    def _copy(self, info: FileInfo, place: Path) -> None:
        def write(partial: Path) -> None:
            with self._store.open_input_stream(info.path) as stream, partial.open("wb") as file:
                shutil.copyfileobj(stream, file, 2**20)

        write_whole(place, write)
        if info.mtime_ns is not None:
            os.utime(place, ns=(info.mtime_ns, info.mtime_ns))

    @contextmanager
    def _locked(self, progress: Progress) -> Iterator[None]:
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
    def _told(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except (OSError, ValueError) as error:  # ValueError: a name that pyarrow can't take
            raise DataError(
                f"The data at {self._address} can't be had ({first_line(error)}); check the "
                "address, the credentials, the names there and the disk of cache_dir."
            ) from None


def _is_copy(place: Path, info: FileInfo) -> bool:
    """Whether what lies here is what lies there: by size and time, where the store knows it."""
    try:
        stat = place.stat()
    except FileNotFoundError:
        return False
    return stat.st_size == info.size and info.mtime_ns in (None, stat.st_mtime_ns)
