from typing import Any

import pytest

from spaces import Fixed, SearchSpace, SpaceError

SIZES = {"a": 32, "b": 64}


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


def test_every_backbone_is_tried_as_a_linear_probe_and_then_at_the_defaults() -> None:
    made = space(unfreeze={"low": 0.5, "high": 1}, augment={"low": 0.2, "high": 0.4}, dropout=0.3)
    starts = made.initial_points(native_image_size=SIZES)
    assert [(s.backbone, s.head, s.unfreeze) for s in starts] == [
        ("a", "solved", 0),
        ("b", "solved", 0),
        ("a", "trained", 0.75),
        ("b", "trained", 0.75),
    ]
    assert {s.dropout for s in starts} == {0.3}
    assert [round(s.augment, 6) for s in starts] == [0, 0, 0.3, 0.3]


def test_recipes_take_turns_after_the_linear_probes() -> None:
    made = space(
        unfreeze={"low": 0, "high": 1},
        starts=[{"unfreeze": 0.2}, {"head": "solved"}, {"unfreeze": 1}, {"unfreeze": 0.5}],
    )
    starts = made.initial_points(native_image_size=SIZES)
    assert [(s.backbone, s.unfreeze) for s in starts[:2]] == [("a", 0), ("b", 0)]
    assert [(s.backbone, s.unfreeze) for s in starts[2:]] == [
        ("a", 0.2),
        ("a", 1),
        ("a", 0.5),
        ("b", 0.2),
        ("b", 1),
        ("b", 0.5),
    ]


def test_recipes_of_a_space_are_tried_with_every_backbone_unless_they_name_one() -> None:
    recipes = [{"unfreeze": 0}, {"backbone": "b", "learning_rate": 2e-3}]
    made = space(
        unfreeze={"low": 0, "high": 1, "default": 0.4},
        learning_rate={"low": 1e-3, "high": 1e-2},
        starts=recipes,
    )
    table = {key: value for key, value in made.to_table().items() if key != "name"}
    again = SearchSpace.from_table(table, name="again")
    del table["starts"]
    before = SearchSpace.from_table(table, name="before there were any")
    assert [start.unfreeze for start in before.initial_points(native_image_size=SIZES)] == [
        0,
        0,
        0.4,
        0.4,
    ]
    for one in (made, again):
        starts = one.initial_points(native_image_size=SIZES)
        assert [(s.backbone, s.unfreeze) for s in starts] == [("a", 0), ("b", 0.4), ("b", 0)]
        assert starts[1].learning_rate == 2e-3
    fixed = made.with_fixed(learning_rate=5e-3).initial_points(native_image_size=SIZES)
    assert {start.learning_rate for start in fixed} == {5e-3}


def test_a_fixed_field_is_no_longer_open() -> None:
    made = space(image_size={"choices": [32, 64]}).with_fixed(image_size=48)
    assert made.dimensions["image_size"] == Fixed(value=48)
    assert "image_size" not in made.open


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"augmnt": 0}, "Unknown parameter 'augmnt'; did you mean 'augment'"),
        ({"augment": 3.0}, "augment should be less than or equal to 1, not 3"),
        ({"augment": "much"}, "augment should be a valid number.*, not 'much'"),
        ({"fit": "corp"}, "fit should be 'squash', 'letterbox' or 'crop', not 'corp'"),
        ({"learning_rate": "nan"}, "learning_rate should be a finite number, not 'nan'"),
    ],
)
def test_a_field_is_fixed_only_at_a_value_that_it_can_have(
    values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SpaceError, match=sentence):
        space().with_fixed(**values)


def test_fields_that_lose_their_effect_by_a_fixed_one_no_longer_vary() -> None:
    made = space(unfreeze={"low": 0, "high": 1}, layer_decay={"low": 0.5, "high": 1})
    assert list(made.with_fixed(unfreeze=0).open) == ["backbone"]


def test_a_copy_with_fewer_backbones_keeps_their_starts() -> None:
    starts = [{"backbone": "a", "dropout": 0.2}, {"backbone": "b"}, {"dropout": 0.1}]
    made = space(dropout={"low": 0, "high": 0.5}, starts=starts).with_backbones(["b"])
    assert made.backbones == ("b",)
    assert made.recipes == ({"backbone": "b"}, {"dropout": 0.1})


def test_a_preset_can_have_the_backbone_auto() -> None:
    made = SearchSpace.load("default").with_fixed(backbone="auto")
    assert len(made.backbones) > 40
    assert all("backbone" not in recipe for recipe in made.recipes)


def test_a_start_keeps_no_value_that_a_fixed_field_forbids() -> None:
    scale = {"low": 0.01, "high": 0.3}
    scale["cases"] = [  # type: ignore[assignment]
        {"when": {"batchnorm": "batch"}, "low": 0.1, "high": 1.0},
        {"when": {"batchnorm": "frozen", "unfreeze": {"low": 0.5, "high": 1}}, "value": 0.05},
    ]
    made = space(
        batchnorm={"choices": ["frozen", "batch"]},
        unfreeze={"low": 0, "high": 1},
        backbone_lr_scale=scale,
        starts=[{"batchnorm": "batch", "unfreeze": 0.7, "backbone_lr_scale": 0.2}],
    )
    assert made.with_fixed(batchnorm="frozen").recipes == ({"unfreeze": 0.7},)
    assert made.with_fixed(batchnorm="frozen", unfreeze=0.2).recipes == (
        {"backbone_lr_scale": 0.2},
    )


def test_the_starts_of_other_backbones_than_the_fixed_one_are_dropped() -> None:
    made = space(dropout={"low": 0, "high": 0.5}, starts=[{"dropout": 0.1}, {"backbone": "a"}])
    assert made.with_fixed(backbone="b").recipes == ({"dropout": 0.1},)
    trained = space().with_fixed(head="trained").initial_points(native_image_size=SIZES)
    assert [start.head for start in trained] == ["trained", "trained"]
