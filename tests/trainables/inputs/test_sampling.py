import numpy as np
import pytest

from spaces import TrialParams
from trainables.inputs import training_batches

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


def test_no_batch_has_a_single_image(params: TrialParams) -> None:
    batches = training_batches(np.zeros(33, int), params, np.random.default_rng(0))
    assert [len(b) for b in batches] == [16, 17]
