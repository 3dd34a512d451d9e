import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
from safetensors.torch import save_file

from search.record import SweepPaths, check_weights_unchanged, describe_environment
from spaces import ConfigError
from trainables.models import Weights


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Weights]:
    """Weights of one backbone, in a file."""
    file = tmp_path / "test_vit.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), file)
    return {"test_vit": Weights("test_vit", str(file), file)}


def test_versions_and_hashes_of_weights_are_recorded(weights: dict[str, Weights]) -> None:
    environment = describe_environment(weights)
    assert environment["packages"]["numpy"] == np.__version__
    assert environment["packages"]["timm"] == timm.__version__
    assert environment["weights"] == {"test_vit": weights["test_vit"].digest()}
    assert len(environment["commit"] or "0" * 40) == 40
    assert json.loads(json.dumps(environment)) == environment


def test_weights_may_move_but_not_change(weights: dict[str, Weights], tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path)
    paths.environment.write_text(json.dumps(describe_environment(weights)))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((tmp_path / "test_vit.safetensors").read_bytes())
    check_weights_unchanged(paths, {"test_vit": replace(weights["test_vit"], file=moved)})
    save_file(timm.create_model("test_vit").state_dict(), moved)
    changed = {"test_vit": replace(weights["test_vit"], file=moved)}
    with pytest.raises(ConfigError, match=r"weights of test_vit \(.*are not those that the sweep"):
        check_weights_unchanged(paths, changed)
