import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from search.config import SweepConfig
from search.planning import Plan, complete_plan, plan_notes, prepare_plan


def on_squashing(plan: Plan) -> list[str]:
    return [note for note in plan_notes(plan) if "squashes" in note]


@pytest.mark.parametrize(("left", "advised"), [(40, False), (12, True)])
def test_balancing_is_advised_where_classes_are_uneven_and_the_space_is_not(
    left: int, advised: bool, settings: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    shutil.copytree(digits, tmp_path / "digits")
    for file in sorted((tmp_path / "digits" / "seven").iterdir())[left:]:
        file.unlink()
    config = SweepConfig.parse({**settings, "data": tmp_path / "digits"})
    plan = complete_plan(prepare_plan(config))
    notes = plan_notes(plan)
    assert any("classes are imbalanced" in note for note in notes) is advised
    balanced = replace(plan, space=plan.space.with_fixed(balance="weighted", flips="none"))
    assert plan_notes(balanced) == []


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (("one", "seven", "zero"), "are named like digits or letters"),
        (("0", "1", "2"), "are named like digits or letters"),
        (("b", "d", "æ"), "are named like digits or letters"),
        (("Turn-Left", "TurnRight", "ahead"), "tell left from right"),
        (("0", "1"), ""),
        (("a", "b", "hat"), ""),
        (("right whale", "blue whale", "copyright"), ""),
    ],
)
def test_a_plan_asks_whether_classes_may_be_mirrored(
    names: tuple[str, ...], asked: str, settings: dict[str, Any]
) -> None:
    plan = complete_plan(prepare_plan(SweepConfig.parse(settings)))
    labels = plan.survey.dataset.labels % len(names)
    dataset = replace(plan.survey.dataset, classes=names, labels=labels)
    plan = replace(plan, survey=replace(plan.survey, dataset=dataset))
    notes = [n for n in plan_notes(plan) if "mirrored" in n]
    assert len(notes) == bool(asked)
    assert all(asked in note and "--fix flips=none" in note for note in notes)
    for off in ({"flips": "none"}, {"augment": 0.0}):
        never = replace(plan, space=plan.space.with_fixed(**off))
        assert not any("mirrored" in note for note in plan_notes(never))


def test_a_squash_of_many_elongated_images_is_told_with_the_way_to_change_it(
    settings: dict[str, Any], digits: Path, tmp_path: Path
) -> None:
    shutil.copytree(digits, tmp_path / "digits")
    prepared = prepare_plan(SweepConfig.parse({**settings, "data": tmp_path / "digits"}))
    assert not on_squashing(complete_plan(prepared)), "squares are not distorted"
    for file in sorted((tmp_path / "digits" / "seven").iterdir())[:20]:
        with Image.open(file) as image:
            image.resize((60, 32)).save(file)
    plan = complete_plan(prepared)
    (note,) = on_squashing(plan)
    assert note.startswith("20 of 120 images are wider or taller than 4:3")
    assert "--fix fit=letterbox" in note
    for fit in ("letterbox", "crop"):
        assert not on_squashing(replace(plan, space=plan.space.with_fixed(fit=fit)))
