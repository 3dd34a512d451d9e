"""A copy of a sweep's folder in an object store, kept up while it runs; a resume can begin there.

The folder on the driver's disk is the sweep. Its copy is whole at any moment: it gets the journal
before the states, which are those that lay there before the journal was read, so that none is of an
epoch that the copied journal doesn't know; ``sweep.json`` last; and only then goes what is gone.
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
from typing import Any, Self

import psutil
from pyarrow.fs import FileInfo, FileSelector, FileType, LocalFileSystem

from search.config import SweepConfig
from search.record.paths import SweepPaths
from spaces import ConfigError
from spaces.errors import first_line
from trainables.data import open_store
from trainables.files import write_whole

_log = logging.getLogger("finesweep")

EVERY_SECONDS = 15.0
"""How often what has changed is copied."""
GONE_SECONDS = 120.0
"""A driver that has given no sign in the store for so long is dead."""
_SIGN = "driver.sign"
"""Who keeps the copy up, renewed while somebody does."""
_CLOCK = "driver.sign.now"
"""Written to learn the store's time."""
_TOKEN = secrets.token_hex(8)
"""This process, in that sign."""


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
    goes on, and the next turn copies what is missing. Once another driver has taken the copy over,
    this one leaves it alone. Raises `ConfigError` for an address that is none.
    """

    def __init__(self, paths: SweepPaths, storage_path: str) -> None:
        self._paths = paths
        self._files, folder = open_store(storage_path, "storage_path")
        self._folder = f"{folder}/{paths.root.name}"
        if isinstance(self._files, LocalFileSystem) and Path(self._folder) == paths.root:
            raise ConfigError(f"storage_path {storage_path} is results_dir itself; give another.")
        address, mark, query = storage_path.partition("?")
        self.uri = f"{address.rstrip('/')}/{paths.root.name}{mark}{query}"
        self._copied: dict[str, tuple[int, int]] = {}
        """Size and time of change of each file that is there, by its path in the folder."""
        self._signed = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, daemon=True)
        self._trouble = ""

    def check(self) -> None:
        """See whether this process may keep the copy up.

        Raises `ConfigError` if it can't be written, if another driver does that, or if it has gone
        further than the folder.
        """
        with self._told():
            self._put(_CLOCK, b"")
            self._refuse_a_living_driver()
            self._delete(_CLOCK)
            there = self._read(self._paths.journal.name) or b""
            here = self._paths.journal.read_bytes() if self._paths.journal.exists() else b""
            if not here.startswith(there[: there.rfind(b"\n") + 1]):
                raise ConfigError(
                    f"{self.uri} has another or a longer record than {self._paths.root}; move that "
                    f"folder away, then go on by 'finesweep resume {self.uri}', or choose another "
                    "name."
                )

    def bring(self) -> None:
        """Copy the sweep to its folder, which must not exist, and take it over.

        Raises `ConfigError`.
        """
        root, config = self._paths.root, self._paths.config.name
        with self._told():
            names = self._listed()
            if config not in names:
                raise ConfigError(f"There is no sweep at {self.uri}.")
            if root.exists():
                raise ConfigError(
                    f"{root} exists: go on with it by 'finesweep resume {root}', or move it away."
                )
            self._refuse_a_living_driver()
            self._sign()
            partial = root.with_name(f"{root.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            for name in names:
                content = self._read(name)
                if content is not None and name != _SIGN:
                    file = partial / name
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
            partial.rename(root)

    def __enter__(self) -> Self:
        with suppress(OSError, ConfigError):  # the first turn tells it
            self._copied = {name: (-1, -1) for name in self._listed() if name != _SIGN}
            self._refuse_a_living_driver()
            self._sign()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()
        self._turn(last=True)
        if self._trouble:
            _log.warning("the copy at %s is not whole: %s", self.uri, self._trouble)

    def push(self) -> None:
        """Copy what has changed. Raises `OSError`."""
        self._sign()
        found = dict(self._found())
        missing = {self._paths.config.name, self._paths.journal.name} - set(found)
        if missing & set(self._copied):
            raise FileNotFoundError(f"{self._paths.root} is no longer whole")
        with ExitStack() as stack:
            states = {}
            for name in [name for name in found if found[name].parent == self._paths.checkpoints]:
                with suppress(FileNotFoundError):  # its trial has ended since
                    states[name] = stack.enter_context(found[name].open("rb"))
            for name in sorted(found, key=self._place):
                with suppress(FileNotFoundError):
                    file = states.get(name) or stack.enter_context(found[name].open("rb"))
                    status = os.fstat(file.fileno())
                    seen = (status.st_size, status.st_mtime_ns)
                    if self._copied.get(name) != seen:
                        self._put(name, file.read())
                        self._copied[name] = seen
                    file.close()
                if time.monotonic() - self._signed > EVERY_SECONDS:
                    self._sign()
        for name in [name for name in self._copied if name not in found]:
            self._delete(name)
            del self._copied[name]

    def _keep_up(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._turn()

    def _turn(self, *, last: bool = False) -> None:
        before = self._trouble
        try:
            if self._owner().get("token", _TOKEN) != _TOKEN:
                self._trouble = "another driver has taken it over"
            else:
                self.push()
                self._trouble = ""
                if last:
                    self._delete(_SIGN)
        except OSError as error:
            self._trouble = first_line(error)
        if self._trouble and not before:
            _log.warning("nothing is copied to %s for now: %s", self.uri, self._trouble)

    def _found(self) -> Iterator[tuple[str, Path]]:
        """What the copy has to have: not what Ray or a lock or an unfinished write leaves."""
        paths = self._paths
        for folder, below, names in os.walk(paths.root, onerror=_raise):
            below[:] = [name for name in below if Path(folder, name) != paths.ray]
            for name in names:
                file = Path(folder, name)
                passing = file.suffix == ".partial" or ".lock" in file.suffixes
                if not passing and file != paths.driver:
                    yield str(PurePosixPath(file.relative_to(paths.root))), file

    def _place(self, name: str) -> int:
        """In which order files are copied."""
        return {self._paths.journal.name: 0, self._paths.config.name: 2}.get(name, 1)

    def _sign(self) -> None:
        sign = {"token": _TOKEN, "host": platform.node(), "pid": os.getpid()}
        self._put(_SIGN, json.dumps(sign).encode())
        self._signed = time.monotonic()

    def _owner(self) -> dict[str, Any]:
        """What the sign says; nothing if there is none."""
        sign: dict[str, Any] = json.loads(self._read(_SIGN) or b"{}")
        return sign

    def _refuse_a_living_driver(self) -> None:
        owner = self._owner()
        if owner.get("token", _TOKEN) == _TOKEN:
            return
        if owner["host"] == platform.node() and not psutil.pid_exists(owner["pid"]):
            return
        self._put(_CLOCK, b"")
        ago = (self._changed(_CLOCK) - self._changed(_SIGN)).total_seconds()
        self._delete(_CLOCK)
        if ago < GONE_SECONDS:
            raise ConfigError(
                f"The sweep at {self.uri} is being run: its driver was there {ago:.0f} s ago. Wait "
                f"for it, or stop it; one that was killed is taken for gone after "
                f"{GONE_SECONDS:.0f} s."
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(
                f"The storage_path of {self.uri} can't be used ({first_line(error)}); check the "
                "address, the credentials and that the bucket exists."
            ) from None

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
        if isinstance(self._files, LocalFileSystem):
            write_whole(Path(path), lambda partial: partial.write_bytes(content))
            return
        with self._files.open_output_stream(path) as stream:  # objects are whole or not there
            stream.write(content)

    def _read(self, name: str) -> bytes | None:
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
