"""The log that a sweep writes in its folder."""

import logging
from pathlib import Path

_log = logging.getLogger("finesweep")


def log_to(file: Path) -> None:
    """Have this process log to a sweep's file, and to no other sweep's."""
    for old in [h for h in _log.handlers if isinstance(h, logging.FileHandler)]:
        _log.removeHandler(old)
        old.close()
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.INFO)
