import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from search.samplers.unit_cube import UnitCube
from tests.support.conditional_space import CONDITIONAL

CUBE = UnitCube(
    {
        "backbone": CategoricalDistribution(["a", "b", "c"]),
        "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0, 0.5, step=0.25),
        "head_hidden": IntDistribution(16, 1024, log=True),
        "batch_size": IntDistribution(8, 64, step=8),
    }
)
VALUES = {
    "backbone": "b",
    "learning_rate": 1e-3,
    "dropout": 0.25,
    "head_hidden": 128,
    "batch_size": 32,
}


def test_decoding_the_code_of_a_point_gives_that_point() -> None:
    (code,) = CUBE.encode([VALUES])
    assert code[:3] == pytest.approx([1, 0.5, 0.5])
    point = CUBE.decode(code)
    assert point == pytest.approx(VALUES)
    assert isinstance(point["head_hidden"], int) and isinstance(point["batch_size"], int)


def test_every_code_decodes_to_a_point_of_the_space() -> None:
    rng = np.random.default_rng(0)
    sampled = CUBE.sample(rng, 200)
    for code in [*sampled, *CUBE.perturb(rng, sampled[:3], 200)]:
        point = CUBE.decode(code)
        create_trial(params=point, distributions=dict(CUBE.space), value=0.0)  # checks them
        assert point["batch_size"] % 8 == 0 and point["dropout"] in (0, 0.25, 0.5)


def test_perturbed_codes_are_nearer_than_uniform_ones() -> None:
    rng = np.random.default_rng(0)
    middle = np.array([[1, 0.5, 0.5, 0.5, 0.5]])
    perturbed, uniform = CUBE.perturb(rng, middle, 200), CUBE.sample(rng, 200)
    near, far = (
        np.linalg.norm(CUBE.embed(codes) - CUBE.embed(middle), axis=1)
        for codes in (perturbed, uniform)
    )
    assert near.mean() < 0.6 * far.mean()
    assert near.min() > 0, "none is the point itself"


def test_two_choices_have_the_same_distance_as_the_ends_of_a_range() -> None:
    codes = np.array([[k, 0, 0, 0, 0] for k in range(3)] + [[0, 1, 0, 0, 0]], dtype=float)
    embedded = CUBE.embed(codes)
    assert embedded.shape == (4, CUBE.embedded_size)
    assert [np.linalg.norm(embedded[0] - embedded[k]) for k in (1, 2, 3)] == pytest.approx(
        [1, 1, 1]
    )


CONDITIONAL_CUBE = UnitCube(CONDITIONAL.distributions(), CONDITIONAL.names_at)


def test_points_have_only_the_parameters_that_they_use() -> None:
    rng = np.random.default_rng(0)
    sampled = CONDITIONAL_CUBE.sample(rng, 100)
    for code in [*sampled, *CONDITIONAL_CUBE.perturb(rng, sampled[:3], 100)]:
        point = CONDITIONAL_CUBE.decode(code)
        assert list(point) == CONDITIONAL.names_at(point)
        assert ("drop_path" in point) == (point["backbone"] == "b")
        assert np.array_equal(CONDITIONAL_CUBE.encode([point])[0], code, equal_nan=True) or (
            CONDITIONAL_CUBE.encode([point])[0] == pytest.approx(code, nan_ok=True)
        )


def test_the_cases_of_a_field_share_a_coordinate() -> None:
    """So that a good place in one range speaks for the same place in another."""
    adamw = {"optimizer": "adamw", "learning_rate": 1e-3, "backbone": "a"}
    sgd = {"optimizer": "sgd", "learning_rate | optimizer=sgd": 1e-1, "backbone": "a"}
    codes = CONDITIONAL_CUBE.encode([adamw, sgd])
    first, second = CONDITIONAL_CUBE.embed(codes)
    assert len(first) == CONDITIONAL_CUBE.embedded_size == 2 + 2 + 2
    assert np.linalg.norm(first - second) == pytest.approx(1), "only the optimizer differs"


def test_a_perturbed_point_keeps_its_place_when_its_case_changes() -> None:
    rng = np.random.default_rng(0)
    codes = CONDITIONAL_CUBE.encode(
        [{"optimizer": "adamw", "learning_rate": 1e-3, "backbone": "a"}]
    )
    moved = map(CONDITIONAL_CUBE.decode, CONDITIONAL_CUBE.perturb(rng, codes, 400))
    rates = [p["learning_rate | optimizer=sgd"] for p in moved if p["optimizer"] == "sgd"]
    assert len(rates) > 10
    assert 0.05 < np.median(rates) < 0.2, "the middle of its range, as 1e-3 is of the other"
