"""Byte budget of the cache: the least recently used files are evicted."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

PIXEL_FILES, FEATURE_FILES = "pixels/*.npy", "features/*/*.float??"
"""Patterns of the cache's finished files, relative to it. Files being written do not match."""
RESERVED_DISK_BYTES = 2**31
"""Disk space that the cache leaves free, for the sweep's own files."""


def free_bytes(cache: Path) -> int:
    """Bytes that may still be written on the cache's disk; negative if it is too full."""
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free - RESERVED_DISK_BYTES


def make_room(
    cache: Path,
    size_bytes: int,
    budget_bytes: int,
    *evictable: str,
    keep: Collection[Path] = (),
) -> bool:
    """Evict files until ``size_bytes`` more fit, and return whether they do.

    All files in the cache count against ``budget_bytes``; the disk may allow less. Only files that
    match an ``evictable`` pattern and are not in ``keep`` are deleted, least recently used first,
    and none if that would not be enough. A process that has mapped a deleted file can read on.
    """
    disk_bytes = free_bytes(cache)
    with FileLock(cache / "room.lock"):
        used_bytes = sum(
            file.size_bytes for kind in (PIXEL_FILES, FEATURE_FILES) for file in _files(cache, kind)
        )
        room_bytes = min(budget_bytes - used_bytes, disk_bytes)
        candidates = [
            file for kind in evictable for file in _files(cache, kind) if file.path not in keep
        ]
        if room_bytes + sum(file.size_bytes for file in candidates) < size_bytes:
            return False
        for file in sorted(candidates):
            if room_bytes >= size_bytes:
                break
            file.path.unlink(missing_ok=True)
            room_bytes += file.size_bytes
    return True


class _CachedFile(NamedTuple):
    """A file of the cache. Sorts by time of last use."""

    last_used: float
    size_bytes: int
    path: Path


def _files(cache: Path, pattern: str) -> list[_CachedFile]:
    files = []
    for path in cache.glob(pattern):
        try:
            stat = path.stat()
        except FileNotFoundError:  # evicted by another process
            continue
        files.append(_CachedFile(stat.st_mtime, stat.st_size, path))
    return files


def preallocate(descriptor: int, size_bytes: int) -> None:
    """Allocate all of a file's disk space now. Raises `OSError` if the disk is full.

    Without this, writing to a mapped file on a full disk would kill the process.
    """
    os.ftruncate(descriptor, size_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
