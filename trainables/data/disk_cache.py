"""The cache's byte budget: what was used least recently makes way."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from filelock import FileLock

PIXELS, FEATURES = "pixels/*.npy", "features/*/*.float??"
"""What there is in a cache, relative to it; files still being written have other names."""
SPARE_BYTES = 2**31
"""Left free on the disk, for the sweep's own files."""


def free_bytes(cache: Path) -> int:
    """What may still be written on the cache's disk."""
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free - SPARE_BYTES


def make_room(
    cache: Path, size: int, budget: int, *evictable: str, keep: Collection[Path] = ()
) -> bool:
    """Delete files of ``evictable`` patterns until ``size`` bytes more fit; whether they do now.

    Everything in the cache counts against ``budget``; the disk may allow less. Deletes nothing if
    that would not be enough, and nothing of ``keep``. Who has a deleted file open reads on.
    """
    disk = free_bytes(cache)
    with FileLock(cache / "room.lock"):
        used = sum(size for kind in (PIXELS, FEATURES) for _, size, _ in _files(cache, kind))
        room = min(budget - used, disk)
        candidates = [f for kind in evictable for f in _files(cache, kind) if f[2] not in keep]
        if room + sum(freed for _, freed, _ in candidates) < size:
            return False
        for _, freed, file in sorted(candidates):
            if room >= size:
                break
            file.unlink(missing_ok=True)
            room += freed
    return True


def _files(cache: Path, pattern: str) -> list[tuple[float, int, Path]]:
    """When each was last used, its bytes, and its name."""
    found = []
    for file in cache.glob(pattern):
        try:
            stat = file.stat()
        except FileNotFoundError:  # another process makes room too
            continue
        found.append((stat.st_mtime, stat.st_size, file))
    return found


def reserve(descriptor: int, size: int) -> None:
    """Claim all of a file's bytes now: a mapped one that finds the disk full kills its process.

    Raises `OSError` if it is full.
    """
    os.ftruncate(descriptor, size)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
