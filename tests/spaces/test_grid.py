import pytest

from spaces import SearchSpace, SpaceError, grid_points


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


def test_a_grid_has_every_combination_of_choices_and_steps() -> None:
    made = grid_points(
        space(
            unfreeze={"low": 0, "high": 0.6, "step": 0.2},
            batch_size={"low": 16, "high": 48, "step": 16},
            warmup_epochs={"low": 0, "high": 1, "step": 1},
        )
    )
    assert len(made) == 2 * 4 * 3 * 2
    assert len({tuple(point.items()) for point in made}) == len(made)
    assert {point["batch_size"] for point in made} == {16, 32, 48}
    assert sorted({point["unfreeze"] for point in made}) == pytest.approx([0, 0.2, 0.4, 0.6])
    assert max(float(str(point["unfreeze"])) for point in made) <= 0.6


def test_a_range_without_steps_makes_no_grid() -> None:
    with pytest.raises(SpaceError, match="the space 'test' has neither for unfreeze"):
        grid_points(space(unfreeze={"low": 0, "high": 1}))


def test_a_grid_has_the_points_of_each_case_alone() -> None:
    made = space(
        optimizer={"choices": ["adamw", "sgd"]},
        drop_path={"when": {"optimizer": "sgd"}, "choices": [0.1, 0.2]},
        unfreeze={"choices": [0, 0.5]},
        layer_decay={"choices": [0.8, 0.9]},
    )
    points = grid_points(made)
    assert len(points) == 2 * (1 + 2) * (1 + 2), "layer_decay means nothing to heads alone"
    assert {"drop_path" in point for point in points if point["optimizer"] == "adamw"} == {False}
