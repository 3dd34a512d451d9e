"""Open every image file once: what it holds, and whether it is an image at all.

What was found is remembered by the file's size and times, so that the next sweep over a folder
opens only what has changed in it.
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
    digest_of,
    frame_count,
    read_rgb,
    reason_of,
    reduction,
)
from trainables.data.pixel_store import PixelFormat, Staged
from trainables.files import write_json
from trainables.progress import Progress, no_progress

_NEARLY_BLACK = 15
"""What the brightest of 12 bits comes to where 16 were meant."""


@dataclass(frozen=True)
class Opened:
    """What came of opening a file."""

    digest: str = ""
    """Hash of its bytes."""
    error: str = ""
    """Why it can't be read, else empty."""
    oddity: str = ""
    """Why somebody should look at it, else empty."""


def open_all(
    paths: Sequence[Path],
    *,
    cache: Path,
    forms: Sequence[PixelFormat] = (),
    staged: Staged | None = None,
    progress: Progress = no_progress,
) -> list[Opened]:
    """Decode every file that is new or has changed, in threads.

    Pillow's decoders let go of the interpreter lock. ``staged`` is given what is decoded, in the
    formats that will be asked for.
    """
    notes = _Notes(cache, paths)
    unknown = [row for row, path in enumerate(paths) if notes.find(path) is None]
    if staged is not None:
        staged.begin(forms, len(unknown))

    def look(row: int) -> tuple[tuple[int, ...], Opened]:
        path = paths[unknown[row]]
        seen = _marks(path)  # before it is read: what changes meanwhile is opened again next time
        return seen, _open(path, row, staged)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, (seen, opened) in enumerate(pool.map(look, range(len(unknown))), start=1):
            notes.add(paths[unknown[done - 1]], seen, opened)
            progress("reading images", done, len(unknown))
    notes.write()
    return [found for path in paths if (found := notes.find(path))]


class _Notes:
    """What is remembered of the files of one listing."""

    def __init__(self, cache: Path, paths: Sequence[Path]) -> None:
        root = os.path.commonpath([path.parent for path in paths]) if paths else ""
        name = hashlib.blake2b(root.encode(), digest_size=12).hexdigest()
        self._file = cache / "opened" / f"{name}-pillow-{PIL.__version__}.json"
        self._notes: dict[str, tuple[tuple[int, ...], Opened]] = {}
        self._changed = False
        if self._file.exists():
            notes = json.loads(self._file.read_text(encoding="utf-8"))
            for path, (seen, opened) in notes.items():
                if tuple(seen) == _marks(Path(path)):
                    self._notes[path] = (tuple(seen), Opened(**opened))

    def find(self, path: Path) -> Opened | None:
        """What was found in a file that is still as it was."""
        found = self._notes.get(str(path))
        return found[1] if found else None

    def add(self, path: Path, seen: tuple[int, ...], opened: Opened) -> None:
        """Remember a file."""
        self._notes[str(path)] = (seen, opened)
        self._changed = True

    def write(self) -> None:
        """For the next sweep. What could not be read may have been a fault of the disk's."""
        if self._changed:
            readable = {p: (s, asdict(o)) for p, (s, o) in self._notes.items() if not o.error}
            write_json(self._file, readable)


def _marks(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; empty where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _open(path: Path, row: int, staged: Staged | None) -> Opened:
    try:
        content = path.read_bytes()
        digest = digest_of(content)
        images: dict[int, Image.Image] = {}
        if staged is not None:
            for form in staged.forms:
                by = reduction(content, form.side)
                images[by] = images.get(by) or read_rgb(content, side=form.side)
                staged.keep(row, digest, form, images[by])
        image = next(iter(images.values())) if images else read_rgb(content)
        return Opened(digest, oddity=_oddity(image, frame_count(content)))
    except IMAGE_ERRORS as error:
        return Opened(error=reason_of(error))


def _oddity(image: Image.Image, frames: int) -> str:
    if image.getcolors(maxcolors=1) is not None:
        return "all pixels have one colour"
    if min(image.size) < 16:  # none that was reduced
        return f"only {image.width}x{image.height} pixels"
    brightest = max(high for _, high in image.getextrema())  # type: ignore[misc]
    if brightest <= _NEARLY_BLACK:
        return f"nearly black, {brightest} of 255 at most; 12 bits in 16 have to be scaled first"
    return f"{frames} frames, of which the first is taken" if frames > 1 else ""
