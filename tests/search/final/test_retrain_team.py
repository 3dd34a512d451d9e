import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributed

from search.final.retrain_team import run_in_team
from spaces import RunError
from trainables.training import Team

pytestmark = pytest.mark.slow


def _sums(team: Team, rounds: int) -> Iterator[float]:
    """Sum over the team of a number that differs between its members, round by round."""
    for number in range(rounds):
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        value = torch.tensor(float(10**team.rank + number), device=device)
        distributed.all_reduce(value)
        yield value.item()


def _dies_once(team: Team, marker: Path) -> Iterator[str]:
    if team.rank == 1 and not marker.exists():
        marker.touch()
        os._exit(1)
    distributed.barrier()
    yield "done"


def _refuses(team: Team) -> Iterator[str]:
    yield "begun"
    raise RunError("It diverged.")


@pytest.fixture(scope="module", autouse=True)
def cluster(ray_cluster: None) -> None:
    """Every test needs Ray."""


def test_the_first_worker_tells_what_all_have_computed_together() -> None:
    steps = partial(_sums, rounds=3)
    assert list(run_in_team(steps, 2, on_gpu=False, cpus=1, avoid=[])) == [11, 13, 15]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_workers_on_gpus_compute_together_through_nccl() -> None:
    steps = partial(_sums, rounds=2)
    assert list(run_in_team(steps, 1, on_gpu=True, cpus=1, avoid=[])) == [1, 2]


def test_all_begin_anew_when_a_worker_dies(tmp_path: Path) -> None:
    steps = partial(_dies_once, marker=tmp_path / "died")
    assert list(run_in_team(steps, 2, on_gpu=False, cpus=1, avoid=[]))[-1] == "done"


def test_what_a_worker_refuses_is_said_once() -> None:
    with pytest.raises(RunError, match="It diverged"):
        list(run_in_team(_refuses, 2, on_gpu=False, cpus=1, avoid=[]))
