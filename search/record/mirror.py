"""`Mirror`: a copy of a sweep's folder in an object store, kept up to date while the sweep runs.

A sweep can be resumed from its mirror on another machine. The folder on the driver's disk stays the
original. Each upload keeps the mirror consistent at any moment:

1. It opens the checkpoints, so that step 3 copies them as they were before step 2.
2. It uploads the journal, which therefore has every round that a mirrored checkpoint needs.
3. It uploads all other files. ``sweep.json`` comes last, because it marks the mirror as a sweep.
4. It deletes objects whose files have been deleted from the folder.

A `Lease` names the process that keeps the mirror up to date. Every such process first adds a line
to ``mirrored_by.txt``, a file like others. So a folder is older than its mirror, and must not
overwrite it, if it lacks a line of the mirror's journal or of this file.
"""

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Self

from search.config import SweepConfig
from search.record.lease import LEASE, Lease
from search.record.paths import SweepPaths
from search.record.stored_folder import StoredFolder
from spaces import ConfigError
from spaces.errors import first_line

_log = logging.getLogger("finesweep")

UPLOAD_INTERVAL_SECONDS = 15.0
"""Time between two uploads of changed files, and between two renewals of the lease."""


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
        self._store = StoredFolder(storage_path, paths.root.name)
        if self._store.local_path == paths.root:
            raise ConfigError(
                f"storage_path {storage_path} is results_dir itself; give another storage_path."
            )
        self._lease = Lease(self._store)
        self._uploaded: dict[str, tuple[int, int]] = {}
        """Size in bytes and modification time in ns of each mirrored file, by its path."""
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
            self._lease.check_writing()
            self._lease.check()
            self._check_age()

    def download(self) -> None:
        """Download the sweep to its folder, which must not exist, and take the lease.

        Raises `ConfigError` if the store has no such sweep, if the folder exists, if another driver
        holds the lease, or if the store can't be read.
        """
        root, config = self._paths.root, self._paths.config.name
        with self._errors_explained():
            names = self._store.names()
            if config not in names:
                raise ConfigError(f"There is no sweep at {self._store.uri}.")
            if root.exists():
                raise ConfigError(
                    f"{root} exists: run 'finesweep resume {root}', or move this folder away."
                )
            self._lease.check()
            self._lease.renew()
            partial = root.with_name(f"{root.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            for name in names:
                content = self._store.read(name)
                if content is not None and name != LEASE:
                    file = partial / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
            partial.rename(root)

    def __enter__(self) -> Self:
        """Take the lease.

        Raises `ConfigError` if another driver holds it, or if the folder is older than the mirror.
        """
        with suppress(OSError):  # the first upload will log the error
            self._lease.check()
            self._begin()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        self._try_upload(last=True)
        if self._failure:
            _log.warning("the copy at %s is incomplete: %s", self._store.uri, self._failure)

    def _begin(self) -> None:
        """Take the lease, and read what the mirror has. Raises the error of `_check_age`."""
        self._check_age()
        self._lease.renew()
        self._uploaded = {name: (-1, -1) for name in self._store.names() if name != LEASE}
        now = datetime.now().isoformat(timespec="seconds")
        with self._paths.mirrored_by.open("a", encoding="utf-8") as file:
            file.write(f"{now} {self._lease.holder}\n")
        self._has_begun = True

    def upload(self) -> None:
        """Upload the changed files, in the order that the module's docstring describes.

        Raises `OSError` if the store fails, and `FileNotFoundError` if the folder has lost its
        journal or its settings.
        """
        self._lease.renew()
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
                self._lease.renew(after_seconds=UPLOAD_INTERVAL_SECONDS)
        for name in [name for name in self._uploaded if name not in files]:
            self._store.delete(name)
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
            self._store.write(name, opened.read())
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
            if self._lease.was_taken_over:
                self._failure = "another driver has taken over the lease"
            else:
                if not self._has_begun:
                    self._begin()
                self.upload()
                self._failure = ""
                if last:
                    self._lease.release()
        except (OSError, ConfigError) as error:
            self._failure = first_line(error)
        if self._failure and not failed_before:
            _log.warning("nothing is copied to %s for now: %s", self._store.uri, self._failure)

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
            mirrored = self._store.read(file.name) or b""
            local = file.read_bytes() if file.exists() else b""
            if not local.startswith(mirrored[: mirrored.rfind(b"\n") + 1]):
                raise ConfigError(
                    f"The sweep at {self._store.uri} was continued elsewhere: its {file.name} has "
                    f"lines that the folder {self._paths.root} lacks. Move this folder away and "
                    f"run 'finesweep resume {self._store.uri}', or choose another --name."
                )

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn errors of the store into a `ConfigError`."""
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"The storage_path of {self._store.uri} can't be used ({first_line(error)}); check "
                "the address, the credentials and that the bucket exists."
            ) from None


def _raise(error: OSError) -> None:
    raise error
