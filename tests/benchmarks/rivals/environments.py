"""Python environments of rivals that must not be in the project's own."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.measuring import SCRATCH


class NotInstalledError(Exception):
    """A rival's packages can't be installed; the message has the reason."""


def python_with(package: str, *, shares_project: bool) -> Path:
    """Python of an environment that has ``package``, made below the scratch folder at first use.

    If it ``shares_project``, packages of the project's environment are taken from there wherever
    their versions suit, so that the rival runs on the same PyTorch. Raises `NotInstalledError`.
    """
    folder = SCRATCH / "environments" / package
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    print(f"installing {package} in {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True, clear=True)
    if shares_project:
        own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
        (Path(own) / "project.pth").write_text(sysconfig.get_path("purelib"))
    # Only the registry's wheels: a PyTorch that lies on this machine may not suit torchvision.
    _run([str(python), "-m", "pip", "install", "--quiet", package], PIP_FIND_LINKS=str(folder))
    _run([str(python), "-c", f"import {package}"])
    complete.touch()
    return python


def _run(command: Sequence[str], **environment: str) -> None:
    """Run a command. Raises `NotInstalledError` with the last line that it wrote if it fails."""
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NotInstalledError(lines[-1] if lines else f"exit status {done.returncode}")
