from spaces import Fixed, Range, SearchSpace


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


def test_a_fixed_field_decides_its_conditions_at_once() -> None:
    made = space(
        optimizer={"choices": ["adamw", "sgd"]},
        learning_rate={
            "low": 1e-4,
            "high": 1e-2,
            "log": True,
            "cases": [{"when": {"optimizer": "sgd"}, "low": 1e-2, "high": 1.0, "log": True}],
        },
        drop_path={"when": {"backbone": "b"}, "low": 0, "high": 0.3},
    )
    only_sgd = made.with_fixed(optimizer="sgd", backbone="a")
    assert only_sgd.dimensions["learning_rate"] == Range(low=1e-2, high=1.0, log=True)
    assert only_sgd.dimensions["drop_path"] == Fixed(value=0.0)
    assert list(only_sgd.open) == ["learning_rate"]


def test_fields_are_drawn_after_those_that_they_depend_on() -> None:
    made = space(
        unfreeze={"when": {"optimizer": "sgd"}, "low": 0, "high": 1},
        optimizer={"choices": ["adamw", "sgd"]},
    )
    assert made.draw_order == ("optimizer", "unfreeze", "backbone")


def test_cases_that_become_alike_by_a_fixed_field_are_one() -> None:
    made = space(
        optimizer={"choices": ["adamw", "sgd"]},
        learning_rate={
            "low": 1e-4,
            "high": 1e-3,
            "cases": [
                {"when": {"optimizer": "sgd", "backbone": "a"}, "low": 0.01, "high": 0.1},
                {"when": {"optimizer": "sgd"}, "low": 0.2, "high": 1.0},
            ],
        },
    ).with_fixed(backbone="a")
    assert made.distributions()["learning_rate | optimizer=sgd"].high == 0.1


def test_a_recorded_space_may_have_conditions_that_no_longer_hold() -> None:
    made = space(
        optimizer={
            "choices": ["adamw", "adam"],
            "cases": [{"when": {"backbone": "a"}, "choices": ["adamw", "sgd"]}],
        },
        learning_rate={
            "low": 1e-4,
            "high": 1e-3,
            "cases": [{"when": {"optimizer": "sgd"}, "low": 0.01, "high": 0.1}],
        },
    ).with_fixed(backbone="b")
    table = {key: entry for key, entry in made.to_table().items() if key != "name"}
    assert SearchSpace.from_table(table, name="again", recorded=True).open == made.open
