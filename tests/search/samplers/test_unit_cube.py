import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from search.samplers.unit_cube import UnitCube

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
