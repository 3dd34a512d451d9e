import pytest

from spaces import Range, SearchSpace, SpaceError, TrialParams

SIZES = {"a": 32, "b": 64}


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


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


def test_a_step_may_be_as_long_as_the_range() -> None:
    made = space(dropout={"low": 0.2, "high": 0.3, "step": 0.1})
    assert made.distributions()["dropout"].to_internal_repr(0.3) == 0.3


def test_a_sampler_knows_a_value_as_the_space_writes_it() -> None:
    made = space(dropout={"choices": [0.1, 0.3]})
    point = TrialParams(backbone="a", image_size=32, dropout=0.1 + 0.2)  # of an earlier sweep
    assert made.sampler_values(point, native_image_size=SIZES)["dropout"] == 0.3
