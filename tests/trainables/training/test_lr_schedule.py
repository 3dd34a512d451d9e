import pytest
import torch

from spaces import TrialParams
from trainables.training.lr_schedule import PLATEAU_FACTOR, LearningRate


def rate(schedule: str, *, max_epochs: int = 10, warmup: float = 1.0) -> LearningRate:
    params = TrialParams.parse({"backbone": "a", "schedule": schedule, "warmup_epochs": warmup})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    return LearningRate(optimizer, params, max_epochs=max_epochs)


def test_the_rate_rises_in_the_warm_up_and_falls_to_zero_by_cosine() -> None:
    cosine = rate("cosine")
    factors = [cosine.set(epoch) for epoch in (0.5, 1.0, 5.5, 10.0)]
    assert factors == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_the_optimizers_groups_are_set_relative_to_their_own_rates() -> None:
    params = TrialParams(backbone="a", schedule="constant", warmup_epochs=2)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    groups = [{"params": [w], "lr": lr} for w, lr in zip(weights, (0.2, 0.02), strict=True)]
    optimizer = torch.optim.SGD(groups)
    LearningRate(optimizer, params, max_epochs=10).set(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])


def test_cycles_return_to_the_peak() -> None:
    cyclic = rate("cyclic", warmup=0)
    assert [cyclic.set(epoch) for epoch in (0, 2, 4, 6, 8)] == pytest.approx([1, 0.1, 1, 0.1, 1])
    assert cyclic.set(9.999) == pytest.approx(0.1, abs=1e-2)


def test_a_plateau_lowers_the_rate_and_survives_a_restart() -> None:
    plateau = rate("plateau")
    plateau.end_round(1.0)
    plateau.end_round(1.5)
    again = rate("plateau")
    again.load_state_dict(plateau.state_dict())
    assert again.set(3.0) == 1.0
    again.end_round(1.5)
    assert again.set(4.0) == PLATEAU_FACTOR


def test_a_warm_up_longer_than_the_schedule_is_cut_to_half_of_it() -> None:
    assert rate("constant", max_epochs=2, warmup=5).set(1.0) == 1.0


def test_a_warm_up_takes_rounds_where_an_epoch_has_several() -> None:
    params = TrialParams(backbone="test_vit", warmup_epochs=2.0)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = LearningRate(optimizer, params, max_epochs=10, rounds_per_epoch=8)
    assert schedule.set(0.125) == 0.5
    assert schedule.set(0.25) == 1.0
