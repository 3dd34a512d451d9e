import random

import pytest

from spaces import SearchSpace, SpaceError


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


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
        ({"augment": 0, "colour": {"choices": [True, False]}}, "colour has no effect"),
        ({"flips": "vertical"}, "flips"),
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


def test_a_probe_may_start_a_space_but_is_no_choice() -> None:
    assert space(starts=[{"head": "solved"}]).recipes == ({"head": "solved"},)
    with pytest.raises(SpaceError, match="head can be solved only with unfreeze, augment and"):
        space(head={"choices": ["trained", "solved"]})


TRAINED = {"when": {"head": "trained"}, "low": 0.1, "high": 1, "default": 0.4}


@pytest.mark.parametrize(
    "unfreeze",
    [TRAINED, {"cases": [{"when": {"head": "solved"}, "value": 0}], "low": 0.1, "high": 1}],
)
@pytest.mark.parametrize("heads", [["trained", "solved"], ["solved", "trained"]])
def test_a_head_may_vary_beside_ranges_that_probes_do_not_use(
    unfreeze: dict[str, object], heads: list[str]
) -> None:
    made = space(
        head={"choices": heads},
        unfreeze=unfreeze,
        augment=TRAINED,
        head_hidden={"when": {"head": "trained"}, "choices": [0, 256]},
        layer_decay={"low": 0.5, "high": 1},
    )
    points = [made.params({"head": head}, native_image_size={"a": 32}) for head in heads]
    assert {(p.head, p.unfreeze > 0, p.augment) for p in points} == {
        ("solved", False, 0.0),
        ("trained", True, 0.4),
    }
    drawn = made.draw(lambda case, dim: "solved" if case.field == "head" else dim.start)
    assert "layer_decay" not in drawn  # without effect in a probe
    assert made.params({}, native_image_size={"a": 32}).head == heads[0]


def test_a_head_that_varies_needs_fields_that_are_zero_where_it_is_solved() -> None:
    table: dict[str, object] = {
        "backbone": "test_efficientnet",
        "head": {"choices": ["trained", "solved"]},
        "unfreeze": {"choices": [0.0, 0.5]},
        "augment": 0,
    }
    with pytest.raises(SpaceError, match=r"^unfreeze must be 0 where head is solved; give it"):
        SearchSpace.from_table(table, name="mine")
    table["unfreeze"] = {"choices": [0.0, 0.5], "when": {"head": "trained"}}
    conditional, rng = SearchSpace.from_table(table, name="mine"), random.Random(0)
    points = [
        conditional.params(
            conditional.draw(lambda case, dim: rng.choice(dim.choices)),  # type: ignore[union-attr]
            native_image_size={"test_efficientnet": 32},
        )
        for _ in range(40)
    ]
    assert {(point.head, point.unfreeze) for point in points} == {
        ("trained", 0.0),
        ("trained", 0.5),
        ("solved", 0.0),
    }
