from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from search.config import SweepConfig
from search.planning.candidates import KEPT, keep_most_promising
from spaces import Choices, SearchSpace, WeightsError, known_backbones

ARCHITECTURES = {known.backbone: known.architecture for known in known_backbones()}
SMALL = {"choices": "auto", "max_parameters_millions": 6}


def auto(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": "auto", **table}, name="test")


def config(settings: dict[str, Any], weights: str) -> SweepConfig:
    return SweepConfig.parse({**settings, "weights": weights})


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    """A folder with files named like the weights of two small backbones."""
    for name in ("mobilenetv2_100.ra_in1k", "efficientnet_b0.ra4_e3600_r224_in1k"):
        save_file({"weight": torch.zeros(1)}, tmp_path / f"{name}.safetensors")
    return tmp_path


def test_a_few_candidates_of_several_architectures_are_kept(settings: dict[str, Any]) -> None:
    kept = keep_most_promising(auto(), config(settings, "untrained"))
    dimension = kept.space.dimensions["backbone"]
    assert type(dimension) is Choices
    assert len(dimension.choices) == KEPT
    assert len({ARCHITECTURES[str(name)] for name in dimension.choices}) > KEPT / 2
    best = max(known_backbones(), key=lambda known: known.promise)
    assert dimension.start == best.backbone
    assert f"keeps 8 of {len(known_backbones())} candidates" in kept.notes[0]


def test_candidates_without_weights_are_passed_over_and_told(
    settings: dict[str, Any], two_files: Path
) -> None:
    kept = keep_most_promising(auto(backbone=SMALL), config(settings, str(two_files)))
    assert set(kept.space.backbones) == {
        "mobilenetv2_100.ra_in1k",
        "efficientnet_b0.ra4_e3600_r224_in1k",
    }
    assert "can't be had" in kept.notes[1]
    assert "has no weights of" in kept.notes[1]


def test_without_any_weights_the_first_reason_is_given(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="has no weights of"):
        keep_most_promising(auto(), config(settings, str(tmp_path)))


def test_without_the_hub_the_weights_of_packages_are_found(settings: dict[str, Any]) -> None:
    kept = keep_most_promising(auto(backbone=SMALL), config(settings, "pretrained"))
    assert {"tf_efficientnet_lite0", "tf_efficientnet_lite2"} <= set(kept.space.backbones)
    assert "HF_HUB_OFFLINE is set" in kept.notes[1]


def test_starts_of_candidates_that_are_not_kept_are_dropped(
    settings: dict[str, Any], two_files: Path
) -> None:
    starts = [
        {"backbone": "mobilenetv2_100.ra_in1k", "unfreeze": 1.0},
        {"backbone": "densenet121.tv_in1k"},
    ]
    space = auto(starts=starts, unfreeze={"low": 0, "high": 1})
    kept = keep_most_promising(space, config(settings, str(two_files)))
    assert kept.space.recipes == (starts[0],)


def test_a_space_that_names_its_backbones_keeps_them(settings: dict[str, Any]) -> None:
    space = SearchSpace.load("edge")
    kept = keep_most_promising(space, config(settings, "untrained"))
    assert kept.space is space
    assert kept.notes == ()
