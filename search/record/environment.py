"""Environment of a sweep, ``environment.json``: versions, hardware, commit, hashes of weights."""

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from search.record.invocation import package_version
from search.record.paths import SweepPaths
from spaces import ConfigError
from trainables.models import Weights
from trainables.process_limits import available_cpus

_PACKAGES = ("torch", "torchvision", "timm", "ray", "optuna", "numpy", "pillow", "scikit-learn")


def describe_environment(weights: Mapping[str, Weights]) -> dict[str, Any]:
    """Contents of ``environment.json``: all that a result depends on beside settings and images.

    ``weights`` has the initial weights of each backbone. Their hashes are recorded.
    """
    return {
        "finesweep": package_version("finesweep"),
        "commit": _git_commit(),
        "python": sys.version.split()[0],
        "packages": {name: package_version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "cpus": available_cpus(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "weights": {backbone: each.digest() for backbone, each in weights.items()},
    }


def check_weights_unchanged(paths: SweepPaths, weights: Mapping[str, Weights]) -> None:
    """Raises `ConfigError` if a backbone's weights have changed since the launch.

    The check compares hashes of the weight files, so a file may have moved.
    """
    recorded = json.loads(paths.environment.read_text(encoding="utf-8")).get("weights", {})
    for backbone, current in weights.items():
        if backbone in recorded and recorded[backbone] != current.digest():
            raise ConfigError(
                f"The weights of {backbone} ({current.origin}) are not those that the sweep "
                f"{paths.root.name!r} was launched with; restore the weights of the launch, or "
                "resume the sweep with --weights and the folder that holds them now."
            )


def _git_commit() -> str | None:
    """Hash of the current commit of this code; None outside a git checkout or without git."""
    if shutil.which("git") is None:
        return None
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or None
