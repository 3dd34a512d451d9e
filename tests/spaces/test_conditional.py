import pytest

from spaces import Choices, Fixed, Range, SearchSpace, SpaceError, TrialParams
from spaces.conditional import Condition, Conditional

SIZES = {"a": 32, "b": 64}
RATE = {
    "low": 1e-4,
    "high": 1e-2,
    "log": True,
    "cases": [{"when": {"optimizer": "sgd"}, "low": 1e-2, "high": 1.0, "log": True}],
}


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


BY_OPTIMIZER = space(
    optimizer={"choices": ["adamw", "sgd"]},
    learning_rate=RATE,
    drop_path={"when": {"backbone": "b"}, "low": 0, "high": 0.3},
)


def test_a_condition_holds_if_all_fields_have_an_allowed_value() -> None:
    table = {"optimizer": ["sgd", "adam"], "unfreeze": {"low": 0.5, "high": 1}}
    condition = Condition.parse(table)
    assert condition.holds({"optimizer": "adam", "unfreeze": 0.5})
    assert not condition.holds({"optimizer": "adam", "unfreeze": 0.4})
    assert not condition.holds({"unfreeze": 0.5})
    assert str(condition) == "optimizer=sgd/adam, unfreeze=0.5..1"
    assert Condition.parse(condition.to_table()) == condition


@pytest.mark.parametrize("allowed", [0.3, [0.2, 0.3], {"low": 0.1, "high": 0.3}])
def test_a_condition_on_a_step_holds_where_the_step_is_rounded(allowed: object) -> None:
    condition = Condition.parse({"unfreeze": allowed})
    assert condition.holds({"unfreeze": 0.1 + 0.2})  # as a sampler computes three steps
    assert not condition.holds({"unfreeze": 0.31})


def test_a_field_has_the_range_of_the_case_that_holds() -> None:
    def rate(optimizer: str) -> float:
        return BY_OPTIMIZER.params({"optimizer": optimizer}, native_image_size=SIZES).learning_rate

    assert rate("adamw") == pytest.approx(1e-3)
    assert rate("sgd") == pytest.approx(1e-1)


def test_a_field_that_a_point_does_not_use_has_the_general_default() -> None:
    point = BY_OPTIMIZER.params({"backbone": "a"}, native_image_size=SIZES)
    assert point.drop_path == 0
    assert "drop_path" in BY_OPTIMIZER.unused_fields(point)
    used = BY_OPTIMIZER.params({"backbone": "b"}, native_image_size=SIZES)
    assert used.drop_path == pytest.approx(0.15)
    assert "drop_path" not in BY_OPTIMIZER.unused_fields(used)


def test_samplers_know_each_range_by_its_own_name() -> None:
    assert list(BY_OPTIMIZER.distributions()) == [
        "optimizer",
        "learning_rate | optimizer=sgd",
        "learning_rate",
        "backbone",
        "drop_path",
    ]
    point = TrialParams(backbone="a", optimizer="sgd", learning_rate=0.3, image_size=32)
    assert BY_OPTIMIZER.sampler_values(point, native_image_size=SIZES) == {
        "optimizer": "sgd",
        "learning_rate | optimizer=sgd": 0.3,
        "backbone": "a",
    }
    assert BY_OPTIMIZER.names_at({"optimizer": "sgd", "backbone": "b"}) == [
        "optimizer",
        "learning_rate | optimizer=sgd",
        "backbone",
        "drop_path",
    ]


def test_charts_see_one_range_over_all_cases() -> None:
    assert BY_OPTIMIZER.open["learning_rate"] == Range(low=1e-4, high=1.0, log=True)
    mixed = Conditional.of("dropout", [(None, Fixed(value=0.5)), (None, Range(low=0.0, high=0.2))])
    assert mixed.hull == Range(low=0.0, high=0.5)
    names = [(None, Fixed(value="sgd")), (None, Choices(choices=("adam", "adamw")))]
    assert Conditional.of("optimizer", names).hull == Choices(choices=("sgd", "adam", "adamw"))


def test_the_nearest_point_lies_in_the_range_of_its_own_case() -> None:
    far = TrialParams(backbone="b", optimizer="sgd", learning_rate=1e-3, image_size=64)
    near = BY_OPTIMIZER.nearest(far, native_image_size=SIZES)
    assert near is not None
    assert near.learning_rate == 1e-2


def test_a_space_survives_being_written_and_read() -> None:
    table = BY_OPTIMIZER.to_table()
    name = str(table.pop("name"))
    again = SearchSpace.from_table(table, name=name)
    assert again.dimensions == BY_OPTIMIZER.dimensions


def test_an_image_size_may_depend_on_the_backbone() -> None:
    made = space(image_size={"cases": [{"when": {"backbone": "b"}, "choices": [96, 128]}]})
    assert made.backbone_sizes(SIZES) == [("a", 32), ("b", 96), ("b", 128)]


def test_a_start_outside_the_range_of_its_backbone_takes_the_nearest_value() -> None:
    made = space(
        learning_rate={
            "low": 1e-3,
            "high": 1e-2,
            "cases": [{"when": {"backbone": "b"}, "low": 1e-4, "high": 5e-4}],
        },
        starts=[{"learning_rate": 2e-3}],
    )
    rates = {s.backbone: s.learning_rate for s in made.initial_points(native_image_size=SIZES)}
    assert rates == {"a": 2e-3, "b": 5e-4}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"dropout": {"when": "sgd", "low": 0, "high": 0.5}}, r"when of dropout must name other"),
        ({"dropout": {"when": {"optimiser": "sgd"}, "low": 0, "high": 1}}, "mean 'optimizer'"),
        ({"dropout": {"when": {"backbone": "c"}, "low": 0, "high": 0.5}}, "backbone is never c"),
        (
            {"dropout": {"when": {"optimizer": "lion"}, "value": 0.5}},
            "optimizer is never lion in this",
        ),
        ({"dropout": {"when": {"unfreeze": {"low": 0.6, "high": 1}}, "value": 0}}, "is never 0.6"),
        ({"dropout": {"when": {"backbone": "a"}}}, "A case of dropout has no values; give low"),
        ({"dropout": {"cases": [{"low": 0, "high": 0.5}]}}, r"write \[\[dropout.cases\]\] above"),
        ({"dropout": {"cases": [{"when": {"backbone": "a"}, "low": 0, "high": 2}]}}, "less than 1"),
        (
            {"dropout": {"cases": [{"when": {"backbone": "a"}, "value": v} for v in (0.1, 0.2)]}},
            "dropout has two cases for backbone=a",
        ),
        (
            {
                "dropout": {"when": {"augment": {"low": 0, "high": 0.5}}, "value": 0.2},
                "augment": {"when": {"dropout": {"low": 0, "high": 0.5}}, "low": 0, "high": 1},
            },
            "Conditions can't go in a circle: .*; drop one of them",
        ),
        ({"backbone": {"when": {"optimizer": "sgd"}, "value": "a"}}, "backbone can't depend"),
    ],
)
def test_a_wrong_condition_is_refused_in_a_sentence(
    table: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SpaceError, match=sentence):
        SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


def test_a_condition_may_name_the_native_image_size() -> None:
    made = space(
        image_size={"choices": ["native", 128]},
        batch_size={"when": {"image_size": "native"}, "choices": [64, 128]},
    )
    native = made.params({"backbone": "a", "batch_size": 128}, native_image_size=SIZES)
    assert native.image_size == 32
    assert "batch_size" not in made.unused_fields(native)
    other = made.params({"image_size": 128}, native_image_size=SIZES)
    assert "batch_size" in made.unused_fields(other)


def test_a_value_that_a_point_sets_where_no_case_holds_is_not_hidden() -> None:
    given = {"backbone": "a", "drop_path": 0.2}
    point = BY_OPTIMIZER.params(given, native_image_size=SIZES)
    assert point.drop_path == 0.2
    assert "drop_path" not in BY_OPTIMIZER.unused_fields(point)


def test_a_start_that_the_case_of_its_own_values_forbids_is_refused() -> None:
    with pytest.raises(
        SpaceError, match=r"learning_rate can't be 0.1 in this space with the start"
    ):
        space(
            optimizer={"choices": ["adamw", "sgd"]},
            learning_rate=RATE,
            starts=[{"optimizer": "adamw", "learning_rate": 0.1}],
        )


def test_a_field_with_a_single_choice_is_fixed() -> None:
    made = SearchSpace.from_table(
        {
            "backbone": {"choices": ["a"]},
            "dropout": {"when": {"backbone": "a"}, "low": 0, "high": 0.5},
        },
        name="test",
    )
    assert list(made.distributions()) == ["dropout"]
    assert made.dependencies == {}
