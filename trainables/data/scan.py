"""Scan image files: decode each one once, to know its digest and whether it can be read.

Results are cached by the file's size and times, so that the next sweep over a folder opens only
files that are new or have changed.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL
from PIL import Image

from trainables.data.decoding import (
    IMAGE_ERRORS,
    content_digest,
    describe_image_error,
    frame_count,
    jpeg_reduction,
    read_rgb,
)
from trainables.data.pixel_store import StagedPixels
from trainables.files import write_json
from trainables.progress import Progress, ignore_progress

_NEARLY_BLACK = 15
"""Largest 8-bit value of an image whose 12-bit pixels were saved unscaled in 16 bits."""
_MIN_SIDE = 16
"""Images with a shorter side, in pixels, are reported as odd."""

FileStamp = tuple[int, ...]
"""Size in bytes, modification and change time in ns of a file; empty if there is no file."""


@dataclass(frozen=True)
class ScannedImage:
    """Result of decoding one file."""

    digest: str = ""
    """Hash of the file's bytes; empty if it can't be read."""
    error: str = ""
    """Reason why it can't be read; empty if it can."""
    oddity: str = ""
    """Reason why a person should look at it; empty if there is none."""


def scan_images(
    paths: Sequence[Path],
    *,
    cache: Path,
    staged: StagedPixels | None = None,
    progress: Progress = ignore_progress,
) -> list[ScannedImage]:
    """Decode every file that is new or has changed, in threads; one result for each path.

    ``staged`` keeps the decoded images in its formats. Unreadable files give a result with an
    ``error``, and are read again by the next scan. Pillow releases Python's global lock while it
    decodes.
    """
    results = _ScanCache(cache, paths)
    to_open = [path for path in paths if results.get(path) is None]
    if staged is not None:
        staged.allocate(len(to_open))

    def scan(row: int) -> tuple[FileStamp, ScannedImage]:
        stamp = _stamp(to_open[row])  # before reading: a change meanwhile is seen by the next scan
        return stamp, _scan_file(to_open[row], row, staged)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (stamp, result) in enumerate(pool.map(scan, range(len(to_open))), start=1):
            results.add(to_open[done - 1], stamp, result)
            progress("reading images", done, len(to_open))
    results.write()
    return [image for path in paths if (image := results.get(path))]


class _ScanCache:
    """Scan results of unchanged files, in one JSON file for each folder and Pillow version."""

    def __init__(self, cache: Path, paths: Sequence[Path]) -> None:
        root = os.path.commonpath([path.parent for path in paths]) if paths else ""
        name = hashlib.blake2b(root.encode(), digest_size=12).hexdigest()
        self._file = cache / "opened" / f"{name}-pillow-{PIL.__version__}.json"
        self._results: dict[str, tuple[FileStamp, ScannedImage]] = {}
        self._changed = False
        if self._file.exists():
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            for path, (stamp, fields) in stored.items():
                if tuple(stamp) == _stamp(Path(path)):
                    self._results[path] = (tuple(stamp), ScannedImage(**fields))

    def get(self, path: Path) -> ScannedImage | None:
        """Result for an unchanged file; None if it has to be scanned."""
        result = self._results.get(str(path))
        return result[1] if result else None

    def add(self, path: Path, stamp: FileStamp, image: ScannedImage) -> None:
        """Add a result for a file that had this stamp before it was read."""
        self._results[str(path)] = (stamp, image)
        self._changed = True

    def write(self) -> None:
        """Save the results, except errors, which may have been the disk's and not the file's."""
        if self._changed:
            readable = {p: (s, asdict(i)) for p, (s, i) in self._results.items() if not i.error}
            write_json(self._file, readable)


def _stamp(path: Path) -> FileStamp:
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _scan_file(path: Path, row: int, staged: StagedPixels | None) -> ScannedImage:
    """Decode a file, and keep it as ``row`` of ``staged``."""
    try:
        content = path.read_bytes()
        digest = content_digest(content)
        decoded: dict[int, Image.Image] = {}  # by reduction: formats of one size share a decoding
        if staged is not None:
            for pixel_format in staged.formats:
                factor = jpeg_reduction(content, pixel_format.side)
                decoded[factor] = decoded.get(factor) or read_rgb(content, side=pixel_format.side)
                staged.add(row, digest, pixel_format, decoded[factor])
        image = next(iter(decoded.values())) if decoded else read_rgb(content)
        return ScannedImage(digest, oddity=_oddity(image, frame_count(content)))
    except IMAGE_ERRORS as error:
        return ScannedImage(error=describe_image_error(error))


def _oddity(image: Image.Image, frames: int) -> str:
    """Reason why an image looks wrong, or ""."""
    if image.getcolors(maxcolors=1) is not None:
        return "all pixels have one colour"
    if min(image.size) < _MIN_SIDE:  # its full size: so small an image is not decoded smaller
        return f"only {image.width}x{image.height} pixels"
    brightest = max(high for _, high in image.getextrema())  # type: ignore[misc]
    if brightest <= _NEARLY_BLACK:
        return f"nearly black, {brightest} of 255 at most; 12 bits in 16 have to be scaled first"
    return f"{frames} frames, of which the first is taken" if frames > 1 else ""
