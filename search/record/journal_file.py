"""The file of a study: Optuna's log of operations, for one writer, who says when it must last."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend


class JournalFile(JournalFileBackend):
    """Written at once, synced to the disk by `sync` alone, without Optuna's lock.

    Optuna syncs each operation, and a trial that is begun is ten of them: that was 0.4 of the
    driver's time in a sweep of many short trials. What is written outlives the process; what is
    synced, the machine.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(str(file))
        self._file = file

    def append_logs(self, logs: Sequence[Mapping[str, Any]]) -> None:
        """Write some operations."""
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        with self._file.open("ab") as file:
            file.write("".join(lines).encode())

    def sync(self) -> None:
        """Return once all that is written is on the disk."""
        with self._file.open("ab") as file:
            os.fsync(file)

    def mend(self) -> None:
        """Cut off what follows the last whole line, where the process was killed that wrote it."""
        with self._file.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
