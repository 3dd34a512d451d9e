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
