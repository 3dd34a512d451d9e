"""What a result depends on besides its settings: versions, hardware, commit."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pillow", "scikit-learn")


def environment() -> dict[str, Any]:
    """Versions, hardware and commit: what a result depends on besides the settings."""
    return {
        "finesweep": _version("finesweep"),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _version(package: str) -> str | None:
    """None for one that is not installed: this code may lie on the path as it was checked out."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of this code, where it lies in a git checkout and git is there."""
    if shutil.which("git") is None:
        return None
    words = ["git", "rev-parse", "HEAD"]
    asked = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True)
    return asked.stdout.strip() or None
