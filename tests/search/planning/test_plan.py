import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from search.config import SweepConfig
from search.planning import backbone_facts, draft_plan, draw_augmentation, make_plan, plan_document
from search.planning.document import expected_epochs
from trainables.data import Dataset


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


@pytest.mark.parametrize(
    ("rare", "given", "metric"),
    [
        (40, {}, "val_accuracy"),
        (12, {}, "val_balanced_accuracy"),
        (12, {"metric": "val_macro_f1"}, "val_macro_f1"),
    ],
)
def test_uneven_classes_are_ranked_by_balanced_accuracy(
    rare: int,
    given: dict[str, str],
    metric: str,
    settings: dict[str, Any],
    digits: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(digits, tmp_path / "digits")
    for file in sorted((tmp_path / "digits" / "seven").iterdir())[rare:]:
        file.unlink()
    config = SweepConfig.parse({**settings, "data": tmp_path / "digits", **given})
    plan = make_plan(draft_plan(config))
    assert plan.config.metric == metric
    facts = backbone_facts(plan)
    notes = plan_document(plan, facts)["notes"]
    assert any("classes are uneven" in note for note in notes) is (rare == 12)
    balanced = replace(plan, space=plan.space.with_fixed(balance="weighted"))
    assert plan_document(balanced, facts)["notes"] == []


def test_without_stopping_every_epoch_is_expected() -> None:
    values = {"data": "d", "trials": 4, "max_epochs": 5, "stopping": "none"}
    assert expected_epochs(SweepConfig.parse(values)) == 20


def test_the_augmentation_preview_has_a_row_per_strength(dataset: Dataset, tmp_path: Path) -> None:
    draw_augmentation(dataset, tmp_path / "preview.png", images=4)
    with Image.open(tmp_path / "preview.png") as image:
        assert image.size == (4 * 160, 5 * 160)
