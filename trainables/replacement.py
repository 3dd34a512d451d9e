"""Replacement of several files of a folder at once: all of them are the old ones, or the new ones.

New files are first written into a staging folder inside. When all are there, the staging folder is
renamed, and the files are moved into place. If the process is killed meanwhile, `finish_replacing`
moves the others. No file leaves the folder's file system, so it may be a mount point.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainables.files import write_json

_STAGING, _READY = ".new.partial", ".ready.partial"
_MANIFEST = "replacement.json"
"""File in the ready folder with the paths of all new files, and of the old ones to delete."""


def staging_folder(folder: Path) -> Path:
    """The folder inside ``folder`` for its new files; it may not exist."""
    return folder / _STAGING


def begin_replacing(folder: Path) -> Path:
    """An empty `staging_folder`. A replacement that was interrupted is finished first."""
    finish_replacing(folder)
    staging = staging_folder(folder)
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def commit_replacing(folder: Path, owned: Iterable[str]) -> None:
    """Put the staged files in place, and delete the ``owned`` files that were not staged.

    ``owned`` has patterns of paths within the folder, as in `pathlib.Path.glob`. Other files stay.
    """
    staging = staging_folder(folder)
    new = sorted(str(f.relative_to(staging)) for f in staging.rglob("*") if f.is_file())
    old = {str(f.relative_to(folder)) for pattern in owned for f in folder.glob(pattern)}
    for name in new:
        with (staging / name).open("rb") as written:
            os.fsync(written.fileno())
    write_json(staging / _MANIFEST, {"new": new, "old": sorted(old.difference(new))})
    staging.rename(folder / _READY)
    finish_replacing(folder)


@contextmanager
def replacing(folder: Path, owned: Iterable[str]) -> Iterator[Path]:
    """Context with an empty staging folder, whose files replace the ``owned`` ones at its end.

    If the block raises, what it has staged is deleted.
    """
    staging = begin_replacing(folder)
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging)
        with suppress(OSError):
            folder.rmdir()  # if the staging folder was all that it had
        raise
    commit_replacing(folder, owned)


def finish_replacing(folder: Path) -> None:
    """Finish a replacement that was interrupted after all new files had been written."""
    ready = folder / _READY
    if not ready.is_dir():
        return
    if (ready / _MANIFEST).exists():  # else only the folder itself was left to delete
        manifest = json.loads((ready / _MANIFEST).read_text(encoding="utf-8"))
        for name in manifest["new"]:
            if (ready / name).exists():  # else it is in place already
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (ready / name).replace(folder / name)
        for name in manifest["old"]:
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(ready)
