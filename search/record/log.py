"""Log file of a sweep, ``sweep.log``."""

import logging
from pathlib import Path

_log = logging.getLogger("finesweep")


def log_to_file(file: Path) -> None:
    """From now on, append this process's log messages to ``file``.

    A file from an earlier call gets no more messages. If the process has not set up logging,
    warnings still go to standard error, as they do in Python without a handler.
    """
    for old in [h for h in _log.handlers if isinstance(h, logging.FileHandler)]:
        _log.removeHandler(old)
        old.close()
    last_resort = logging.lastResort
    if last_resort is not None:
        _log.removeHandler(last_resort)
        if not _log.hasHandlers():
            _log.addHandler(last_resort)
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
