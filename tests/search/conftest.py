"""One real sweep on a real cluster that many tests look at."""

import json
from pathlib import Path
from typing import Any

import pytest

from search import Sweep, SweepConfig, SweepResult

SPACE = """
[backbone]
choices = ["test_efficientnet", "test_vit"]
[image_size]
value = 32
[unfreeze]
low = 0.5
high = 1
default = 1
[learning_rate]
low = 1e-3
high = 1e-2
log = true
[backbone_lr_scale]
value = 1.0
[augment]
low = 0.0
high = 0.2
[batch_size]
value = 16
"""


@pytest.fixture(scope="session")
def settings(digits: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of a small sweep over the digits."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "space.toml").write_text(SPACE)
    (folder / "points.json").write_text(json.dumps([{"label_smoothing": 0.1}]))
    return {
        "data": digits,
        "space": str(folder / "space.toml"),
        "points": folder / "points.json",
        "weights": "untrained",
        "trials": 5,
        "max_epochs": 3,
        "gpus_per_trial": 0,
        "concurrent": 2,
        "results_dir": folder / "results",
        "cache_dir": cache,
    }


@pytest.fixture(scope="session")
def sweep(settings: dict[str, Any], ray_cluster: None) -> SweepResult:
    """Its result."""
    return Sweep(SweepConfig.parse({**settings, "name": "digits"})).run()
