from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from search.config import SweepConfig
from search.draft import draft_plan
from search.plan import (
    backbone_facts,
    draw_augmentation,
    expected_epochs,
    make_plan,
    plan_document,
)
from trainables.dataset import Dataset


def test_a_plan_tells_what_was_understood(settings: dict[str, Any]) -> None:
    plan = make_plan(draft_plan(SweepConfig.parse(settings)))
    document = plan_document(plan, backbone_facts(plan))
    assert document["classes"] == ["one", "seven", "zero"]
    assert document["counts"]["val"] == {"one": 6, "seven": 6, "zero": 6}
    assert set(document["open"]) == {"backbone", "unfreeze", "learning_rate", "augment"}
    (first, _) = document["backbones"]
    assert first["weights"] == "none (untrained start)"
    assert first["trainable_share"]["1"] == 1
    assert first["train_images_per_second"] > 0
    assert document["cost"]["expected_epochs"] == pytest.approx(5 + 2 * 5 / 3)


def test_without_stopping_every_epoch_is_expected() -> None:
    values = {"data": "d", "trials": 4, "max_epochs": 5, "stopping": "none"}
    assert expected_epochs(SweepConfig.parse(values)) == 20


def test_the_augmentation_preview_has_a_row_per_strength(dataset: Dataset, tmp_path: Path) -> None:
    draw_augmentation(dataset, tmp_path / "preview.png", images=4)
    with Image.open(tmp_path / "preview.png") as image:
        assert image.size == (4 * 160, 5 * 160)
