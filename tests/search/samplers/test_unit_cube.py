import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.samplers.unit_cube import Cube

CUBE = Cube(
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


def test_a_point_has_a_place_and_the_place_is_that_point() -> None:
    (place,) = CUBE.places([VALUES])
    assert place[:3] == pytest.approx([1, 0.5, 0.5])
    found = CUBE.values(place)
    assert found == pytest.approx(VALUES)
    assert isinstance(found["head_hidden"], int) and isinstance(found["batch_size"], int)


def test_every_place_is_a_point_of_the_space() -> None:
    rng = np.random.default_rng(0)
    drawn = CUBE.draw(rng, 200)
    for place in [*drawn, *CUBE.near(rng, drawn[:3], 200)]:
        values = CUBE.values(place)
        assert all(
            dist._contains(dist.to_internal_repr(values[n])) for n, dist in CUBE.space.items()
        )


def test_places_near_others_are_nearer_than_any() -> None:
    rng = np.random.default_rng(0)
    middle = np.array([[1, 0.5, 0.5, 0.5, 0.5]])
    near, drawn = CUBE.near(rng, middle, 200), CUBE.draw(rng, 200)
    apart = [
        np.linalg.norm(CUBE.features(p) - CUBE.features(middle), axis=1) for p in (near, drawn)
    ]
    assert apart[0].mean() < 0.6 * apart[1].mean()
    assert apart[0].min() > 0, "none is the point itself"


def test_any_two_choices_are_as_far_apart_as_both_ends_of_a_range() -> None:
    places = np.array([[k, 0, 0, 0, 0] for k in range(3)] + [[0, 1, 0, 0, 0]], dtype=float)
    at = CUBE.features(places)
    assert [np.linalg.norm(at[0] - at[k]) for k in (1, 2, 3)] == pytest.approx([1, 1, 1])
