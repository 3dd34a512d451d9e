"""Scan of image files: decode each file once, hash it, and find unreadable and odd images.

Results are cached by each file's size and timestamps, so that the next sweep over a folder opens
only files that are new or have changed.
"""

import hashlib
import itertools
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from trainables.data.near_copies import appearance_of
from trainables.data.scan_results import ScannedImage, read_results, write_results
from trainables.data.staged_pixels import StagedPixels
from trainables.images import (
    DECODER_VERSION,
    IMAGE_ERRORS,
    DecodedImage,
    FileStamp,
    content_digest,
    decode_for_sides,
    describe_image_error,
    read_image_file,
    stamp_of,
)
from trainables.process_limits import available_cpus
from trainables.progress import Progress, ignore_progress

_NEARLY_BLACK = 15
"""Largest 8-bit value of a nearly black image."""
_MIN_SIDE = 16
"""Width and height, in pixels, below which an image is reported as odd."""

_COMPARED_SIDE_PX = 224
"""Side for which images are decoded to be compared with each other. It must not depend on what is
staged, because a reduced JPEG has other pixels."""
_IMAGES_PER_TASK = 16
"""Number of images that a thread scans at a time."""
_SECONDS_BETWEEN_WRITES = 300.0
"""Time between two writes of the results, so that a kill loses no more."""
_SMALL_BYTES = 8192
"""Average size of files below which one thread is faster than several, measured on two cores."""
_SCAN_VERSION = 6
"""Part of the name of the file of results. Change it whenever a scan gives other results."""


def scan_images(
    paths: Sequence[Path],
    *,
    cache: Path,
    staged: StagedPixels | None = None,
    progress: Progress = ignore_progress,
) -> list[ScannedImage]:
    """Decode all new and changed files. Returns one result per path.

    Decoded images are added to ``staged`` in each of its formats. An unreadable file gives a result
    with an ``error``; the next scan reads it again. Threads share the work, because Pillow releases
    Python's lock while it decodes. Small files are scanned in this thread: threads would mostly
    wait for the lock.
    """
    results = _ScanCache(cache, paths)
    to_open = [path for path in paths if results.get(path) is None]
    if staged is not None:
        staged.allocate(len(to_open))

    def scan(first: int) -> list[tuple[FileStamp, ScannedImage]]:
        scanned = []
        for row, path in enumerate(to_open[first : first + _IMAGES_PER_TASK], start=first):
            stamp = stamp_of(path)  # before reading, so that the next scan sees a change
            scanned.append((stamp, _scan_file(path, row, staged)))
        return scanned

    with ThreadPoolExecutor(available_cpus()) as pool:
        run = map if _are_small(to_open) else pool.map
        tasks = run(scan, range(0, len(to_open), _IMAGES_PER_TASK))
        try:
            for done, (stamp, result) in enumerate(itertools.chain.from_iterable(tasks), start=1):
                results.add(to_open[done - 1], stamp, result)
                progress("reading images", done, len(to_open))
                results.write_if_old()
        finally:
            results.write()
    return [image for path in paths if (image := results.get(path))]


def _are_small(paths: Sequence[Path]) -> bool:
    """Whether files have fewer than `_SMALL_BYTES` on average; looks at a hundred of them."""
    stamps = [stamp_of(path) for path in paths[:: len(paths) // 100 + 1]]
    return sum(stamp[0] for stamp in stamps if stamp) < _SMALL_BYTES * len(stamps)


class _ScanCache:
    """Scan results of unchanged files, in one file per folder and version of the decoder."""

    def __init__(self, cache: Path, paths: Sequence[Path]) -> None:
        root = os.path.commonpath([path.parent for path in paths]) if paths else ""
        name = hashlib.blake2b(os.fsencode(root), digest_size=12).hexdigest()
        self._file = cache / "opened" / f"{name}-{_SCAN_VERSION}-{DECODER_VERSION}.parquet"
        self._results: dict[str, tuple[FileStamp, ScannedImage]] = {}
        self._changed, self._written = False, time.monotonic()
        if self._file.exists():
            with suppress(OSError, ValueError):  # a damaged file: its images are read again
                for path, stamp, image in read_results(self._file):
                    if stamp == stamp_of(Path(path)):
                        self._results[path] = (stamp, image)

    def get(self, path: Path) -> ScannedImage | None:
        """Result for an unchanged file; None if the file has to be scanned."""
        result = self._results.get(str(path))
        return result[1] if result else None

    def add(self, path: Path, stamp: FileStamp, image: ScannedImage) -> None:
        """Add a file's result. ``stamp`` must have been taken before the file was read."""
        self._results[str(path)] = (stamp, image)
        self._changed = True

    def write_if_old(self) -> None:
        """Save the results if the last time is `_SECONDS_BETWEEN_WRITES` ago."""
        if time.monotonic() - self._written > _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Save all results except errors, which may come from the disk and not from the file."""
        if self._changed:
            self._changed, self._written = False, time.monotonic()
            readable = (
                (path, stamp, image)
                for path, (stamp, image) in self._results.items()
                if not image.error
            )
            write_results(self._file, readable)


def _scan_file(path: Path, row: int, staged: StagedPixels | None) -> ScannedImage:
    """Decode a file, and stage the image in ``row`` of ``staged``."""
    try:
        content = read_image_file(path)
        digest = content_digest(content)
        formats = staged.formats if staged is not None else ()
        *to_stage, image = decode_for_sides(
            content, [*(f.side for f in formats), _COMPARED_SIDE_PX]
        )
        for pixel_format, decoded in zip(formats, to_stage, strict=True):
            assert staged is not None
            staged.add(row, digest, pixel_format, decoded.rgb)
        pixels = image.rgb.tobytes()
        return ScannedImage(
            digest,
            oddity=_oddity(image, pixels),
            pixels=_pixel_digest(image.rgb.size, pixels),
            appearance=appearance_of(image.rgb),
            elongation=max(image.rgb.size) / min(image.rgb.size),
        )
    except IMAGE_ERRORS as error:
        return ScannedImage(error=describe_image_error(error))


def _pixel_digest(size: tuple[int, int], pixels: bytes) -> str:
    """Hash of an image's size and RGB pixels: SHA-1, the fastest in hashlib on most machines."""
    content = hashlib.sha1(f"{size[0]}x{size[1]}".encode(), usedforsecurity=False)
    content.update(pixels)
    return content.hexdigest()[:24]


def _oddity(decoded: DecodedImage, pixels: bytes) -> str:
    """Reason why an image looks wrong; empty if there is no reason."""
    image = decoded.rgb
    if image.getcolors(maxcolors=1) is not None:
        return "all pixels have one colour"
    if min(image.size) < _MIN_SIDE:  # the full size: so small an image is never reduced
        return f"only {image.width}x{image.height} pixels"
    brightest = int(np.frombuffer(pixels, np.uint8).max())
    if brightest <= _NEARLY_BLACK:
        return f"nearly black, {brightest} of 255 at most"
    several = f"{decoded.frames} frames, of which only the first is used"
    return "; ".join([several] * (decoded.frames > 1) + [decoded.note] * bool(decoded.note))
