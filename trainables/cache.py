"""The cache's byte budget: what was used least recently makes way."""

import os
import shutil
from pathlib import Path

PIXELS, FEATURES = "pixels/*.npy", "features/*/*.float*"
"""What there is in a cache, relative to it."""
SPARE_BYTES = 2**31
"""Left free on the disk, for the sweep's own files."""


def make_room(cache: Path, size: int, budget: int, *evictable: str) -> bool:
    """Delete files of ``evictable`` patterns until ``size`` bytes more fit; whether they do now.

    Everything in the cache counts against ``budget``; the disk may allow less. Deletes nothing if
    that would not be enough. Who has a deleted file open reads on.
    """
    cache.mkdir(parents=True, exist_ok=True)
    used = sum(file.stat().st_size for kind in (PIXELS, FEATURES) for file in cache.glob(kind))
    room = min(budget - used, shutil.disk_usage(cache).free - SPARE_BYTES)
    candidates = [
        (file.stat().st_mtime, file.stat().st_size, file)
        for kind in evictable
        for file in cache.glob(kind)
    ]
    if room + sum(freed for _, freed, _ in candidates) < size:
        return False
    for _, freed, file in sorted(candidates):
        if room >= size:
            break
        file.unlink(missing_ok=True)
        room += freed
    return True


def reserve(file: Path) -> None:
    """Claim all of a file's bytes now: a mapped one that finds the disk full kills its process.

    Raises `OSError` if it is full.
    """
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
