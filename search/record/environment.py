"""What a result depends on besides its settings: versions, hardware, commit, weights."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from search.record.invocation import version_of
from search.record.paths import SweepPaths
from spaces import ConfigError
from trainables.models import Weights

_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pillow", "scikit-learn")


def describe_environment(weights: Mapping[str, Weights]) -> dict[str, Any]:
    """What a result depends on besides the settings, with a hash of each backbone's ``weights``."""
    return {
        "finesweep": version_of("finesweep"),
        "commit": _commit(),
        "python": sys.version.split()[0],
        "packages": {name: version_of(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "weights": {backbone: each.digest() for backbone, each in weights.items()},
    }


def check_weights_unchanged(paths: SweepPaths, weights: Mapping[str, Weights]) -> None:
    """Raises `ConfigError` if a launched sweep began with other weights, wherever they lie now."""
    known = json.loads(paths.environment.read_text(encoding="utf-8")).get("weights", {})
    for backbone, found in weights.items():
        if backbone in known and known[backbone] != found.digest():
            raise ConfigError(
                f"The weights of {backbone} ({found.origin}) are not those that the sweep "
                f"{paths.root.name!r} was launched with; bring them back, or resume it with "
                "--weights and the folder where they lie now."
            )


def _commit() -> str | None:
    """The commit of this code, where it lies in a git checkout and git is there."""
    if shutil.which("git") is None:
        return None
    words = ["git", "rev-parse", "HEAD"]
    asked = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True)
    return asked.stdout.strip() or None
