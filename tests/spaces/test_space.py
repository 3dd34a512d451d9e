from pathlib import Path

import pytest

from spaces import Fixed, Range, SearchSpace, SpaceError, TrialParams, preset_names

SIZES = {"a": 32, "b": 64}


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_give_a_reason_for_every_bound(name: str) -> None:
    preset = SearchSpace.load(name)
    assert preset.doc
    assert all(dim.reason for dim in preset.open.values())
    native = dict.fromkeys(preset.backbones, 224)
    assert preset.params({}, native_image_size=native).backbone in preset.backbones


def test_five_presets_ship() -> None:
    assert preset_names() == ["classic", "default", "demo", "edge", "thorough"]


def test_fields_that_a_point_leaves_out_take_the_default_of_the_space() -> None:
    made = space(learning_rate={"low": 1e-4, "high": 1e-2, "log": True}, dropout=0.3)
    params = made.params({"unfreeze": 1.0, "backbone": "b"}, native_image_size=SIZES)
    assert params.learning_rate == pytest.approx(1e-3)
    assert (params.dropout, params.unfreeze, params.image_size) == (0.3, 1.0, 64)


def test_a_float_range_may_be_written_with_whole_numbers() -> None:
    dim = space(unfreeze={"low": 0, "high": 1}).dimensions["unfreeze"]
    assert isinstance(dim, Range)
    assert not dim.is_integer


def test_a_whole_number_may_be_written_as_a_float() -> None:
    made = space(head_hidden={"low": 64, "high": 1e3}, image_size=224.0)
    assert made.distributions()["head_hidden"].high == 1000
    assert made.backbone_sizes(SIZES) == [("a", 224), ("b", 224)]


def test_the_pairs_of_backbone_and_size_are_enumerated() -> None:
    assert space().backbone_sizes(SIZES) == [("a", 32), ("b", 64)]
    both = space(image_size={"choices": [32, 48]})
    assert both.backbone_sizes(SIZES) == [("a", 32), ("a", 48), ("b", 32), ("b", 48)]


def test_fields_become_optuna_distributions_of_their_kind() -> None:
    made = space(
        unfreeze={"low": 0, "high": 1},
        batch_size={"low": 16, "high": 64, "step": 16},
        gradual_unfreezing={"choices": [False, True]},
    ).distributions()
    kinds = {field: type(d).__name__ for field, d in made.items()}
    assert kinds == {
        "backbone": "CategoricalDistribution",
        "unfreeze": "FloatDistribution",
        "batch_size": "IntDistribution",
        "gradual_unfreezing": "CategoricalDistribution",
    }


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


def test_a_probe_may_start_a_space_but_is_no_choice() -> None:
    assert space(starts=[{"head": "solved"}]).recipes == ({"head": "solved"},)
    with pytest.raises(SpaceError, match="head can be solved only with unfreeze, augment and"):
        space(head={"choices": ["trained", "solved"]})


def test_a_space_of_an_earlier_version_keeps_its_meaning() -> None:
    assert space(freeze_batchnorm={"value": True}).dimensions["batchnorm"].start == "batch"
    both = space(freeze_batchnorm={"choices": [True, False]}).dimensions["batchnorm"]
    assert both.extremes == ("batch", "all")


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
        assert [(s.backbone, s.unfreeze) for s in starts] == [("a", 0), ("b", 0), ("b", 0.4)]
        assert starts[-1].learning_rate == 2e-3
    fixed = made.with_fixed(learning_rate=5e-3).initial_points(native_image_size=SIZES)
    assert {start.learning_rate for start in fixed} == {5e-3}


def test_a_point_of_another_space_becomes_the_nearest_that_can_be_drawn() -> None:
    made = space(
        unfreeze={"low": 0, "high": 0.5},
        dropout={"low": 0, "high": 0.4, "step": 0.1},
        image_size={"choices": ["native", 96]},
        optimizer={"choices": ["adamw", "sgd"]},
    )
    other = TrialParams(backbone="b", unfreeze=0.9, dropout=0.17, image_size=224, optimizer="adam")
    point = made.nearest(other, native_image_size=SIZES)
    assert point is not None
    assert (point.unfreeze, point.dropout, point.optimizer) == (0.5, 0.2, "adamw")
    assert point.image_size == 64
    assert made.sampler_values(point, native_image_size=SIZES) == {
        "backbone": "b",
        "unfreeze": 0.5,
        "dropout": 0.2,
        "image_size": "native",
        "optimizer": "adamw",
    }
    assert made.nearest(TrialParams(backbone="c"), native_image_size=SIZES) is None


def test_values_that_can_not_be_drawn_are_left_out() -> None:
    made = space(unfreeze={"low": 0, "high": 0.5})
    assert (
        made.sampler_values(TrialParams(backbone="c", unfreeze=0.6), native_image_size=SIZES) == {}
    )


def test_the_default_of_a_range_with_steps_is_one_of_them() -> None:
    made = space(dropout={"low": 0, "high": 0.5, "step": 0.1})
    assert made.params({}, native_image_size=SIZES).dropout in (0.2, pytest.approx(0.3))
    with pytest.raises(
        SpaceError, match=r"default must be 0.0 plus a multiple of the step 0.1, such as 0.2"
    ):
        space(dropout={"low": 0, "high": 0.5, "step": 0.1, "default": 0.22})


@pytest.mark.parametrize(
    ("field", "bounds"),
    [
        ("dropout", {"low": 0, "high": 0.5, "step": 0}),
        ("dropout", {"low": 0, "high": 0.5, "step": -0.1}),
        ("dropout", {"low": 0, "high": 0.5, "step": 0.6}),
        ("batch_size", {"low": 8, "high": 64, "step": 0.5}),
    ],
)
def test_a_step_outside_the_range_is_refused(field: str, bounds: dict[str, float]) -> None:
    with pytest.raises(SpaceError, match=rf"{field}: .*step must be .*above 0 and at most"):
        space(**{field: bounds})


def test_a_step_may_be_as_long_as_the_range() -> None:
    made = space(dropout={"low": 0.2, "high": 0.3, "step": 0.1})
    assert made.distributions()["dropout"].to_internal_repr(0.3) == 0.3


def test_a_grid_has_every_combination_of_choices_and_steps() -> None:
    made = space(
        unfreeze={"low": 0, "high": 0.6, "step": 0.2},
        batch_size={"low": 16, "high": 48, "step": 16},
        warmup_epochs={"low": 0, "high": 1, "step": 1},
    ).grid()
    assert len(made) == 2 * 4 * 3 * 2
    assert len({tuple(point.items()) for point in made}) == len(made)
    assert {point["batch_size"] for point in made} == {16, 32, 48}
    assert sorted({point["unfreeze"] for point in made}) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert max(float(str(point["unfreeze"])) for point in made) <= 0.6


def test_a_range_without_steps_makes_no_grid() -> None:
    with pytest.raises(SpaceError, match="the space 'test' has neither for unfreeze"):
        space(unfreeze={"low": 0, "high": 1}).grid()


def test_a_fixed_field_is_no_longer_open() -> None:
    made = space(image_size={"choices": [32, 64]}).with_fixed(image_size=48)
    assert made.dimensions["image_size"] == Fixed(value=48)
    assert "image_size" not in made.open


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"unfreez": 0.5}, "did you mean 'unfreeze'"),
        ({"unfreeze": {"low": 0, "high": 2}}, "unfreeze should be less than or equal to 1"),
        ({"dropout": {"low": 0.5, "high": 0.1}}, "low must be below high"),
        ({"dropout": {"low": 0.1, "hgih": 0.5}}, "Unknown bound 'hgih'; did you mean 'high'"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "must start above 0"),
        ({"optimizer": {"choices": ["adamw", "lion"]}}, "not 'lion'"),
        ({"unfreeze": 0, "layer_decay": {"low": 0.5, "high": 1}}, "layer_decay has no effect"),
        ({"learning_rate": {"low": 1e-4, "high": 1e-2, "default": 1}}, "default must lie between"),
        ({"backbone": {"low": 0, "high": 1}}, "backbone needs choices"),
        ({"unfreeze": [0.0, 0.5]}, "unfreeze is a list; write a table with low and high"),
        ({"image_size": {"low": 96, "high": 224}}, "image_size needs choices"),
        ({"head_hidden": {"low": 64.5, "high": 1000}}, "head_hidden needs whole bounds"),
        ({"starts": {"unfreeze": 0}}, r"starts must be a list of points; write \[\[starts\]\]"),
        ({"starts": [{"unfreez": 0}]}, "starts: Unknown parameter 'unfreez'; did you mean"),
        ({"dropout": 0.2, "starts": [{"dropout": 0}]}, "starts: dropout can't be 0.0 in this"),
    ],
)
def test_a_wrong_space_is_refused_in_a_sentence(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(SpaceError, match=sentence):
        space(**table)


def test_a_space_without_backbone_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"add backbone\.choices"):
        SearchSpace.from_table({"dropout": 0.5}, name="test")


def test_an_unknown_preset_lists_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'default'"):
        SearchSpace.load("defalt")


def test_a_space_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('backbone = "a"\n[unfreeze]\nlow = 0\nhigh = 1\n')
    assert list(SearchSpace.load(str(file)).open) == ["unfreeze"]
    file.write_text("backbone = ")
    with pytest.raises(SpaceError, match="not valid TOML"):
        SearchSpace.load(str(file))
    with pytest.raises(SpaceError, match="does not exist"):
        SearchSpace.load(str(tmp_path / "other.toml"))
