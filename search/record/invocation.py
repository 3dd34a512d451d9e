"""How this program is called, as its sentences tell it, and which versions are there."""

import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

from search.record.paths import SweepPaths


def program() -> str:
    """How this program is called from here: by its name if the shell finds it."""
    if shutil.which("finesweep"):
        return "finesweep"
    script = Path(sys.argv[0])
    return os.path.relpath(script) if script.name == "finesweep" else "python -m search"


def command(name: str, paths: SweepPaths, *words: str) -> str:
    """A command on a sweep, wherever that lies."""
    usual = paths.root.parent == Path("results").absolute()
    where = [] if usual else ["--results-dir", str(paths.root.parent)]
    return " ".join([program(), name, paths.root.name, *words, *where])


def version_of(package: str) -> str | None:
    """None for one that is not installed: this code may lie on the path as it was checked out."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
