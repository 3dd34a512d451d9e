"""A copy of a sweep's folder in an object store, kept up while it runs; a resume can begin there.

The folder on the driver's disk is the sweep. What is copied is whole at any moment: states before
the journal that knows of their epochs, ``sweep.json`` last, and only then what is gone is deleted.
"""

import logging
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from search.config import SweepConfig
from search.paths import SweepPaths
from spaces import ConfigError

_log = logging.getLogger("finesweep")

EVERY_SECONDS = 15.0
"""How often what has changed is copied."""
GONE_SECONDS = 4 * EVERY_SECONDS
"""A driver that has not copied anything for so long is dead."""


def keeping_copy(config: SweepConfig, paths: SweepPaths) -> AbstractContextManager[object]:
    """The `Storage` that a sweep's settings ask for, for a ``with``; or nothing."""
    return Storage(paths, config.storage_path) if config.storage_path else nullcontext()


def bring_sweep(uri: str, results_dir: Path) -> tuple[SweepPaths, str]:
    """Copy a sweep from ``s3://BUCKET/PREFIX/SWEEP``; its files, and its ``storage_path``.

    Raises `ConfigError`.
    """
    address, mark, query = uri.partition("?")
    above, _, name = address.rstrip("/").rpartition("/")
    paths = SweepPaths(results_dir.absolute() / name)
    storage_path = above + mark + query
    Storage(paths, storage_path).bring()
    return paths, storage_path


class Storage:
    """The copy of one sweep below ``storage_path``: ``s3://BUCKET/PREFIX``, or what pyarrow opens.

    Used in a ``with``, a thread copies what changes. It may fail as often as it likes: the sweep
    goes on, and the next turn copies what is missing.
    """

    def __init__(self, paths: SweepPaths, storage_path: str) -> None:
        self._paths = paths
        self._files, folder = _open(storage_path)
        self._folder = f"{folder}/{paths.root.name}"
        address, mark, query = storage_path.partition("?")
        self.uri = f"{address.rstrip('/')}/{paths.root.name}{mark}{query}"
        self._copied: dict[str, tuple[int, int]] = {}
        """Size and time of change of each file that is there, by its path in the folder."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)
        self._in_trouble = False

    def check(self) -> None:
        """Raise `ConfigError` if it can't be written, or has gone further than the folder."""
        try:
            self._put("storage.check", b"")
            self._delete(["storage.check"])
            there = self._read(self._paths.journal.name)
        except OSError as error:
            raise ConfigError(
                f"The storage_path {self.uri} can't be written ({_reason(error)}); check the "
                "address, the credentials and that the bucket exists."
            ) from None
        here = self._paths.journal.read_bytes() if self._paths.journal.exists() else b""
        if there and not here.startswith(there[: there.rfind(b"\n") + 1]):
            raise ConfigError(
                f"{self.uri} has another or a longer record than {self._paths.root}; move that "
                f"folder away, then go on by 'finesweep resume {self.uri}', or choose another name."
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()
        self._push(last=True)
        if self._in_trouble:
            _log.warning("the copy at %s is not whole; %s is", self.uri, self._paths.root)

    def bring(self) -> None:
        """Copy the sweep to its folder, which must not exist. Raises `ConfigError`."""
        names = self._listed()
        if self._paths.config.name not in names:
            raise ConfigError(f"There is no sweep at {self.uri}.")
        if self._paths.root.exists():
            raise ConfigError(
                f"{self._paths.root} exists: go on with it by 'finesweep resume "
                f"{self._paths.root.name}', or move it away."
            )
        self._check_driver(names)
        config = self._paths.config.name
        for name in sorted(names, key=lambda name: name == config):  # it says that all is here
            file = self._paths.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._read(name))

    def push(self) -> None:
        """Copy what has changed. Raises `OSError`."""
        found = {
            str(PurePosixPath(file.relative_to(self._paths.root))): file
            for file in self._paths.root.rglob("*")
            if file.is_file() and self._is_kept(file)
        }
        for name in sorted(found, key=_turn):
            with suppress(FileNotFoundError):  # deleted since
                status = found[name].stat()
                seen = (status.st_size, status.st_mtime_ns)
                if self._copied.get(name) != seen or name == self._paths.driver.name:
                    self._put(name, found[name].read_bytes())
                    self._copied[name] = seen
        gone = [name for name in self._copied if name not in found]
        self._delete(gone)
        for name in gone:
            del self._copied[name]

    def _keep_up(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._push()

    def _push(self, *, last: bool = False) -> None:
        try:
            self.push()
            if last:
                self._copied.pop(self._paths.driver.name, None)
                self._delete([self._paths.driver.name])
        except OSError as error:
            if not self._in_trouble:
                _log.warning("can't copy to %s for now: %s", self.uri, _reason(error))
            self._in_trouble = True
        else:
            self._in_trouble = False

    def _is_kept(self, file: Path) -> bool:
        """Whether the copy has it: not what Ray or a lock or an unfinished write leaves."""
        paths = self._paths
        return not (
            paths.ray in file.parents or file.suffix == ".partial" or ".lock" in file.suffixes
        )

    def _check_driver(self, names: Iterable[str]) -> None:
        driver = self._paths.driver.name
        if driver not in names:
            return
        self._put("storage.check", b"")  # its time is the store's clock
        ago = self._changed("storage.check") - self._changed(driver)
        self._delete(["storage.check"])
        if ago.total_seconds() < GONE_SECONDS:
            raise ConfigError(
                f"The sweep at {self.uri} is being run: its driver was there "
                f"{ago.total_seconds():.0f} s ago. Wait for it, or stop it; one that was killed is "
                f"taken for gone after {GONE_SECONDS:.0f} s."
            )

    def _listed(self) -> list[str]:
        listed: list[FileInfo] = self._files.get_file_info(
            FileSelector(self._folder, recursive=True, allow_not_found=True)
        )
        return [
            info.path.removeprefix(f"{self._folder}/")
            for info in listed
            if info.type == FileType.File
        ]

    def _changed(self, name: str) -> datetime:
        when: datetime = self._files.get_file_info(f"{self._folder}/{name}").mtime
        return when

    def _put(self, name: str, content: bytes) -> None:
        path = f"{self._folder}/{name}"
        self._files.create_dir(path.rpartition("/")[0], recursive=True)
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    def _read(self, name: str) -> bytes:
        try:
            with self._files.open_input_stream(f"{self._folder}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return b""

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                self._files.delete_file(f"{self._folder}/{name}")


def _open(uri: str) -> tuple[Any, str]:
    try:
        files, folder = FileSystem.from_uri(uri)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"storage_path must be an address such as s3://BUCKET/PREFIX, not {uri!r} "
            f"({_reason(error)})."
        ) from None
    return files, folder.rstrip("/")


def _turn(name: str) -> tuple[int, str]:
    """In which order files are copied."""
    last = {"study.journal": 2, "sweep.json": 3}
    return last.get(name, 0 if name.startswith("checkpoints/") else 1), name


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
