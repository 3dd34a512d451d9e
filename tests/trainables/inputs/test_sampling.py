import numpy as np
import pytest

from spaces import TrialParams
from trainables.inputs import round_of, training_batches

UNEVEN = np.array([0] * 30 + [1] * 10 + [2] * 5)


@pytest.mark.parametrize(
    ("balance", "counts"),
    [("none", [30, 10, 5]), ("oversample", [30, 30, 30]), ("undersample", [5, 5, 5])],
)
def test_balancing_draws_classes_evenly(
    params: TrialParams, balance: str, counts: list[int]
) -> None:
    chosen = params.model_copy(update={"balance": balance})
    batches = training_batches(UNEVEN, chosen, np.random.default_rng(0))
    drawn = np.concatenate(batches)
    assert np.bincount(UNEVEN[drawn]).tolist() == counts
    assert {len(b) for b in batches[:-1]} <= {16}
    if balance != "undersample":
        assert set(drawn) == set(range(45)), "nothing is left out"


def test_where_an_epoch_has_several_rounds_oversampling_makes_it_no_longer(
    params: TrialParams,
) -> None:
    chosen = params.model_copy(update={"balance": "oversample"})
    batches = training_batches(UNEVEN, chosen, np.random.default_rng(0), rounds=4)
    assert np.bincount(UNEVEN[np.concatenate(batches)]).tolist() == [15, 15, 15]


def test_no_batch_has_a_single_image(params: TrialParams) -> None:
    batches = training_batches(np.zeros(33, int), params, np.random.default_rng(0))
    assert [len(b) for b in batches] == [16, 17]


@pytest.mark.parametrize("count", [6, 7, 11])
def test_rounds_share_the_batches_of_an_epoch_as_equally_as_possible(count: int) -> None:
    batches = [np.array([k]) for k in range(count)]
    rounds = [round_of(batches, part, 3) for part in range(3)]
    assert [k for part in rounds for k in part] == batches
    assert max(map(len, rounds)) - min(map(len, rounds)) <= 1


def test_a_round_has_a_batch_even_if_there_are_fewer_batches_than_rounds() -> None:
    batches = [np.array([0, 1]), np.array([2, 3])]
    assert [len(round_of(batches, part, 5)) for part in range(5)] == [1] * 5
