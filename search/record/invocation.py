"""Command lines for messages to the user, and versions of installed packages."""

import importlib.metadata
import os
import shlex
import shutil
import sys
from pathlib import Path

from search.record.paths import SweepPaths


def program_name() -> str:
    """Command that starts this program in the current shell: "finesweep" if that is on the PATH."""
    if shutil.which("finesweep"):
        return "finesweep"
    script = Path(sys.argv[0])
    return os.path.relpath(script) if script.name == "finesweep" else "python -m finesweep"


def sweep_command(name: str, paths: SweepPaths, *arguments: str) -> str:
    """Command line for the user to paste: the command ``name`` on a sweep, with ``arguments``.

    The command includes ``--results-dir``, unless the sweep lies in ``results`` of the working
    directory.
    """
    default = paths.root.parent == Path("results").absolute()
    location = [] if default else ["--results-dir", str(paths.root.parent)]
    return f"{program_name()} {shlex.join([name, paths.root.name, *arguments, *location])}"


def package_version(package: str) -> str | None:
    """Version of an installed package; None if the package is not installed.

    Finesweep itself may run from a source checkout without being installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
