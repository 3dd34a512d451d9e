"""Disk cache with a size limit: the least recently used files are evicted."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

PIXEL_FILES = ("pixels/*.npy", "pixels/*.jpegs")
FEATURE_FILES = ("features/*/*.float??",)
"""Glob patterns of finished files, relative to the cache folder. Partial files do not match."""
RESERVED_DISK_BYTES = 2**31
"""Disk space that the cache leaves free for the sweep's own files."""


def free_bytes(cache: Path) -> int:
    """Free bytes on the cache's disk minus `RESERVED_DISK_BYTES`; may be negative."""
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free - RESERVED_DISK_BYTES


def make_room(
    cache: Path,
    size_bytes: int,
    budget_bytes: int,
    *evictable: str,
    keep: Collection[Path] = (),
) -> bool:
    """Evict files until ``size_bytes`` more bytes fit. Returns whether they fit.

    All finished files count against ``budget_bytes``; free disk space is a second limit. Only files
    that match an ``evictable`` pattern and are not in ``keep`` are deleted, least recently used
    first. If deleting all of them would not suffice, none is deleted. A process that has
    memory-mapped a deleted file can still read it.
    """
    disk_bytes = free_bytes(cache)
    with FileLock(cache / "room.lock"):
        used_bytes = sum(
            file.size_bytes
            for kind in (*PIXEL_FILES, *FEATURE_FILES)
            for file in _files(cache, kind)
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
    """A file in the cache. Sorting orders files by their last use, oldest first."""

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
    """Reserve ``size_bytes`` on disk for an open file. Raises `OSError` if the disk is full.

    Otherwise, a write to the memory-mapped file on a full disk would kill the process (SIGBUS).
    """
    os.ftruncate(descriptor, size_bytes)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
