import json
from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import complete_plan, describe_plan, prepare_plan
from search.planning.backbones import BackboneFacts


def facts(backbone: str, images_per_second: float) -> BackboneFacts:
    return BackboneFacts(
        backbone, "none", "at random", 32, 1000, 4, {"0": 0.1, "1": 1.0}, images_per_second
    )


def test_a_plan_document_has_the_classes_the_open_parameters_and_the_cost(
    settings: dict[str, Any],
) -> None:
    plan = complete_plan(prepare_plan(SweepConfig.parse(settings)))
    document = describe_plan(plan, [facts("test_efficientnet", 10), facts("test_vit", 40)])
    assert document.classes == ["one", "seven", "zero"]
    assert document.counts["val"] == {"one": 6, "seven": 6, "zero": 6}
    assert set(document.open) == {"backbone", "unfreeze", "learning_rate", "augment"}
    assert document.cost.trials == 5
    assert document.cost.expected_epochs == pytest.approx(5 + 2 * 5 / 3)
    seconds = document.cost.expected_epochs * 84 * (1 / 10 + 1 / 40) / 2
    assert document.cost.device_hours == pytest.approx(seconds / 3600)


def test_the_json_of_a_document_has_the_keys_that_programs_read(settings: dict[str, Any]) -> None:
    plan = complete_plan(prepare_plan(SweepConfig.parse(settings)))
    written = json.loads(json.dumps(describe_plan(plan, [facts("test_vit", 40)]).to_json()))
    assert list(written) == [
        *("data", "kind", "classes", "counts", "split", "folds", "fingerprint", "unused"),
        *("notes", "bad_images", "odd_images", "metric", "unevenness", "space", "open"),
        *("dependencies", "points", "backbones", "decoded_gib", "cache_gib", "stores", "cost"),
    ]
    assert written["open"]["augment"] == {
        **{"reason": "", "low": 0.0, "high": 0.2},
        **{"log": False, "step": None, "default": None},
    }
    pixels = sum(form.side**2 for form in plan.pixel_formats) * len(plan.survey.dataset)
    assert written["decoded_gib"] == 3 * pixels / 2**30
    assert [(s["form"], s["size_bytes"]) for s in written["stores"]] == [("decoded", 3 * pixels)]
    assert written["points"][0]["label_smoothing"] == 0.1
    assert written["backbones"][0]["trainable_share"] == {"0": 0.1, "1": 1.0}
    assert list(written["cost"]) == [
        *("trials", "expected_epochs", "rounds_per_epoch", "round_images", "val_images"),
        *("device", "device_hours", "measured_on"),
    ]


def test_cross_validation_trains_on_each_image_in_all_folds_but_one(
    settings: dict[str, Any],
) -> None:
    plan = complete_plan(prepare_plan(SweepConfig.parse({**settings, "folds": 3})))
    cost = describe_plan(plan, [facts("test_vit", 40)]).cost
    assert cost.device_hours == pytest.approx(cost.expected_epochs * 2 * (84 + 18) / 40 / 3600)
