"""`Mirror`: a copy of a sweep's folder in an object store, kept up to date while the sweep runs.

A sweep can be resumed from its mirror on another machine. The folder on the driver's disk stays the
original. Each upload keeps the mirror consistent at any moment:

1. It opens the checkpoints, so that step 3 copies them as they were before step 2.
2. It uploads the journal, which therefore has every round that a mirrored checkpoint needs.
3. It uploads all other files. ``sweep.json`` comes last, because it marks the mirror as a sweep.
4. It deletes objects whose files have been deleted from the folder.

A lease, the object ``driver.sign``, names the process that keeps the mirror up to date. Every such
process first adds a line to ``mirrored_by.txt``, a file like others. So a folder is older than its
mirror, and must not overwrite it, if it lacks a line of the mirror's journal or of this file.
"""

import json
import logging
import os
import platform
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

import psutil
from pyarrow.fs import FileInfo, FileSelector, FileType, LocalFileSystem

from search.config import SweepConfig
from search.record.paths import SweepPaths
from spaces import ConfigError
from spaces.errors import first_line
from trainables.data import open_object_store
from trainables.files import write_atomically

_log = logging.getLogger("finesweep")

UPLOAD_INTERVAL_SECONDS = 15.0
"""Time between two uploads of changed files, and between two renewals of the lease."""
LEASE_SECONDS = 120.0
"""A driver that has not renewed its lease for this time is presumed dead."""
_LEASE = "driver.sign"
"""Object that names the driver. Its modification time is the time of the last renewal."""
_CLOCK = "driver.sign.now"
"""Empty object, written to read the store's clock: its modification time is the present time."""
_TOKEN = secrets.token_hex(8)
"""Random token by which this process recognizes its own lease."""


def mirror_of(config: SweepConfig, paths: SweepPaths) -> AbstractContextManager[object]:
    """The `Mirror` at ``config.storage_path``; if this is unset, a context that does nothing."""
    return Mirror(paths, config.storage_path) if config.storage_path else nullcontext()


def download_sweep(uri: str, results_dir: Path) -> tuple[SweepPaths, str]:
    """Download the sweep at ``uri``, such as ``s3://BUCKET/PREFIX/SWEEP``, to ``results_dir``.

    Returns its paths and its ``storage_path``, which is the address without the sweep's name.
    Raises the `ConfigError` of `Mirror.download`.
    """
    address, mark, query = uri.partition("?")
    parent, _, name = address.rstrip("/").rpartition("/")
    paths = SweepPaths(results_dir.absolute() / name)
    storage_path = parent + mark + query
    Mirror(paths, storage_path).download()
    return paths, storage_path


class Mirror:
    """The mirror of one sweep, below ``storage_path``.

    Within a ``with`` block, a thread uploads changed files at intervals; the end of the block
    uploads them a last time. A failed upload does not stop the sweep: it is logged, and the next
    upload repeats it. If another driver takes over the lease, this driver uploads nothing more.

    Args:
        paths: Files of the sweep.
        storage_path: ``s3://BUCKET/PREFIX``, or another address that pyarrow can open.

    Raises `ConfigError` if the address can't be opened, or is the results folder itself.
    """

    def __init__(self, paths: SweepPaths, storage_path: str) -> None:
        self._paths = paths
        self._files, folder = open_object_store(storage_path, "storage_path")
        self._folder = f"{folder}/{paths.root.name}"
        if isinstance(self._files, LocalFileSystem) and Path(self._folder) == paths.root:
            raise ConfigError(
                f"storage_path {storage_path} is results_dir itself; give another storage_path."
            )
        address, mark, query = storage_path.partition("?")
        self.uri = f"{address.rstrip('/')}/{paths.root.name}{mark}{query}"
        """Address of the mirror."""
        self._uploaded: dict[str, tuple[int, int]] = {}
        """Size in bytes and modification time in ns of each mirrored file, by its path."""
        self._renewed = 0.0
        """Time of the last renewal of the lease, in seconds of the monotonic clock."""
        self._has_begun = False
        """Whether the store could be reached, and the folder was not older than the mirror."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._upload_until_ended, daemon=True)
        self._failure = ""
        """Reason why the last upload failed; empty if it succeeded."""

    def check(self) -> None:
        """Raises `ConfigError` if this process can't keep the mirror up to date.

        This is so if the store can't be written, if another driver holds the lease, or if the
        folder is older than the mirror.
        """
        with self._errors_explained():
            self._put(_CLOCK, b"")
            self._check_lease()
            self._delete(_CLOCK)
            self._check_age()

    def download(self) -> None:
        """Download the sweep to its folder, which must not exist, and take the lease.

        Raises `ConfigError` if the store has no such sweep, if the folder exists, if another driver
        holds the lease, or if the store can't be read.
        """
        root, config = self._paths.root, self._paths.config.name
        with self._errors_explained():
            names = self._list()
            if config not in names:
                raise ConfigError(f"There is no sweep at {self.uri}.")
            if root.exists():
                raise ConfigError(
                    f"{root} exists: run 'finesweep resume {root}', or move this folder away."
                )
            self._check_lease()
            self._renew_lease()
            partial = root.with_name(f"{root.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            for name in names:
                content = self._read(name)
                if content is not None and name != _LEASE:
                    file = partial / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
            partial.rename(root)

    def __enter__(self) -> Self:
        """Take the lease.

        Raises `ConfigError` if another driver holds it, or if the folder is older than the mirror.
        """
        with suppress(OSError):  # the first upload will log the error
            self._check_lease()
            self._begin()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        self._try_upload(last=True)
        if self._failure:
            _log.warning("the copy at %s is incomplete: %s", self.uri, self._failure)

    def _begin(self) -> None:
        """Take the lease, and read what the mirror has. Raises the error of `_check_age`."""
        self._check_age()
        self._renew_lease()
        self._uploaded = {name: (-1, -1) for name in self._list() if name != _LEASE}
        now = datetime.now().isoformat(timespec="seconds")
        with self._paths.mirrored_by.open("a", encoding="utf-8") as file:
            file.write(f"{now} process {os.getpid()} of {platform.node()}, {_TOKEN}\n")
        self._has_begun = True

    def upload(self) -> None:
        """Upload the changed files, in the order that the module's docstring describes.

        Raises `OSError` if the store fails, and `FileNotFoundError` if the folder has lost its
        journal or its settings.
        """
        self._renew_lease()
        files = dict(self._local_files())
        missing = {self._paths.config.name, self._paths.journal.name} - set(files)
        if missing & set(self._uploaded):
            raise FileNotFoundError(f"{self._paths.root} has lost its journal or its settings")
        with ExitStack() as stack:
            checkpoints = self._opened_checkpoints(files, stack)
            for name in sorted(files, key=self._upload_order):
                with suppress(FileNotFoundError):  # deleted since the folder was listed
                    opened = checkpoints.get(name) or stack.enter_context(files[name].open("rb"))
                    self._upload_if_changed(name, opened)
                    opened.close()
                if time.monotonic() - self._renewed > UPLOAD_INTERVAL_SECONDS:
                    self._renew_lease()
        for name in [name for name in self._uploaded if name not in files]:
            self._delete(name)
            del self._uploaded[name]

    def _opened_checkpoints(self, files: dict[str, Path], stack: ExitStack) -> dict[str, IO[bytes]]:
        """Open every checkpoint, so that later reads return its present content."""
        opened: dict[str, IO[bytes]] = {}
        for name, file in files.items():
            if file.parent == self._paths.checkpoints:
                with suppress(FileNotFoundError):  # deleted because its trial has just ended
                    opened[name] = stack.enter_context(file.open("rb"))
        return opened

    def _upload_if_changed(self, name: str, opened: IO[bytes]) -> None:
        status = os.fstat(opened.fileno())
        version = (status.st_size, status.st_mtime_ns)
        if self._uploaded.get(name) != version:
            self._put(name, opened.read())
            self._uploaded[name] = version

    def _upload_until_ended(self) -> None:
        while not self._ended.wait(UPLOAD_INTERVAL_SECONDS):
            self._try_upload()

    def _try_upload(self, *, last: bool = False) -> None:
        """Upload if this driver still holds the lease. The ``last`` upload releases the lease.

        A failure is logged, unless the previous upload failed too.
        """
        failed_before = bool(self._failure)
        try:
            if self._lease().get("token", _TOKEN) != _TOKEN:
                self._failure = "another driver has taken over the lease"
            else:
                if not self._has_begun:
                    self._begin()
                self.upload()
                self._failure = ""
                if last:
                    self._delete(_LEASE)
        except (OSError, ConfigError) as error:
            self._failure = first_line(error)
        if self._failure and not failed_before:
            _log.warning("nothing is copied to %s for now: %s", self.uri, self._failure)

    def _local_files(self) -> Iterator[tuple[str, Path]]:
        """Yield, for each file to mirror, its path within the sweep's folder and its full path.

        Ray's files, locks, partial files and folders, and ``driver.json`` are left out.
        """
        paths = self._paths
        for folder, below, names in os.walk(paths.root, onerror=_raise):
            below[:] = [
                name
                for name in below
                if Path(folder, name) != paths.ray and not name.endswith(".partial")
            ]
            for name in names:
                file = Path(folder, name)
                transient = file.suffix == ".partial" or ".lock" in file.suffixes
                if not transient and file != paths.driver:
                    yield str(PurePosixPath(file.relative_to(paths.root))), file

    def _upload_order(self, name: str) -> int:
        """Sort key: the files that tell the folder's age first, ``sweep.json`` last."""
        first = {file.name: 0 for file in self._append_only}
        return {**first, self._paths.config.name: 2}.get(name, 1)

    @property
    def _append_only(self) -> tuple[Path, ...]:
        """The files that tell which of two copies of a sweep is older: it lacks lines."""
        return self._paths.journal, self._paths.mirrored_by

    def _check_age(self) -> None:
        """Raises `ConfigError` if the folder is older than the mirror."""
        for file in self._append_only:
            mirrored = self._read(file.name) or b""
            local = file.read_bytes() if file.exists() else b""
            if not local.startswith(mirrored[: mirrored.rfind(b"\n") + 1]):
                raise ConfigError(
                    f"The sweep at {self.uri} was continued elsewhere: its {file.name} has lines "
                    f"that the folder {self._paths.root} lacks. Move this folder away and run "
                    f"'finesweep resume {self.uri}', or choose another --name."
                )

    def _renew_lease(self) -> None:
        lease = {"token": _TOKEN, "host": platform.node(), "pid": os.getpid()}
        self._put(_LEASE, json.dumps(lease).encode())
        self._renewed = time.monotonic()

    def _lease(self) -> dict[str, Any]:
        """Token, host and process id of the driver that holds the lease; empty if none does."""
        lease: dict[str, Any] = json.loads(self._read(_LEASE) or b"{}")
        return lease

    def _check_lease(self) -> None:
        """Raises `ConfigError` if another driver holds the lease and may be alive."""
        lease = self._lease()
        if lease.get("token", _TOKEN) == _TOKEN:
            return
        if lease["host"] == platform.node() and not psutil.pid_exists(lease["pid"]):
            return
        self._put(_CLOCK, b"")
        age_seconds = (self._changed_at(_CLOCK) - self._changed_at(_LEASE)).total_seconds()
        self._delete(_CLOCK)
        if age_seconds < LEASE_SECONDS:
            raise ConfigError(
                f"The sweep at {self.uri} is being run: its driver renewed its lease "
                f"{age_seconds:.0f} s ago. Wait for that driver, or stop it. If it was killed, "
                f"try again {LEASE_SECONDS:.0f} s after the last renewal."
            )

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn errors of the store into a `ConfigError`."""
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"The storage_path of {self.uri} can't be used ({first_line(error)}); check the "
                "address, the credentials and that the bucket exists."
            ) from None

    def _list(self) -> list[str]:
        """Path of every object of the mirror."""
        infos: list[FileInfo] = self._files.get_file_info(
            FileSelector(self._folder, recursive=True, allow_not_found=True)
        )
        return [
            info.path.removeprefix(f"{self._folder}/")
            for info in infos
            if info.type == FileType.File
        ]

    def _changed_at(self, name: str) -> datetime:
        """Time of an object's last change, by the store's clock."""
        changed_at: datetime = self._files.get_file_info(f"{self._folder}/{name}").mtime
        return changed_at

    def _put(self, name: str, content: bytes) -> None:
        path = f"{self._folder}/{name}"
        if isinstance(self._files, LocalFileSystem):
            write_atomically(Path(path), lambda partial: partial.write_bytes(content))
            return
        with self._files.open_output_stream(path) as stream:  # object stores write atomically
            stream.write(content)

    def _read(self, name: str) -> bytes | None:
        """Content of an object; None if the object does not exist."""
        try:
            with self._files.open_input_stream(f"{self._folder}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def _delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.delete_file(f"{self._folder}/{name}")


def _raise(error: OSError) -> None:
    raise error
