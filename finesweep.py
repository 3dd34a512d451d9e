"""Finesweep by a name of its own: the command, and `Sweep`, `SweepConfig` and `SweepResult`.

The packages of Finesweep have common names, and a user may have a ``search.py`` or a folder
``spaces`` beside a script, or in a working directory that is on the path. Importing this module
imports Finesweep's packages from beside this file, whatever else the path has by their names.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from search import Sweep, SweepConfig, SweepResult

__all__ = ["Sweep", "SweepConfig", "SweepResult", "main"]

_FOLDER = Path(__file__).resolve().parent
_PACKAGES = ("search", "spaces", "trainables")


def main() -> NoReturn:
    """Run a command and exit with its status."""
    from search.cli import main as run_command

    run_command()


def __getattr__(name: str) -> Any:
    """`search` imports its classes on first use, because Ray and torch take seconds to import."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("search"), name)


def _import_packages() -> None:
    """Import the packages beside this file. Raises `ImportError` if others have their names."""
    sys.path.insert(0, str(_FOLDER))
    try:
        packages = [importlib.import_module(name) for name in _PACKAGES]
    finally:
        sys.path.remove(str(_FOLDER))
    for package in packages:
        file = Path(package.__file__ or "")
        if file.resolve() != _FOLDER / package.__name__ / "__init__.py":
            raise ImportError(
                f"Finesweep's package {package.__name__!r} can't be imported, because {file} was "
                "imported by that name before; import finesweep first, or rename that file."
            )


_import_packages()

if __name__ == "__main__":
    main()
