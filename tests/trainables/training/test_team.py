import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.models import Weights
from trainables.process import configure_process
from trainables.training import ALONE, FineTuneSettings, FineTuning, Team, finetune


def test_a_batch_is_divided_into_parts_of_two_or_more() -> None:
    batch, trio = np.arange(7), [Team(rank, 3) for rank in range(3)]
    assert [team.part(batch).tolist() for team in trio] == [[0, 1, 2], [3, 4], [5, 6]]
    assert all(team.part(batch[:5]).tolist() == [0, 1, 2, 3, 4] for team in trio)
    assert ALONE.part(batch).tolist() == batch.tolist()


@pytest.mark.parametrize(("optimizer", "growth"), [("sgd", 4), ("adamw", 2), ("rmsprop", 2)])
def test_the_learning_rate_grows_with_the_batch(optimizer: str, growth: float) -> None:
    params = TrialParams.parse(
        {"backbone": "test_resnet", "batch_size": 8, "learning_rate": 1e-3, "optimizer": optimizer}
    )
    larger = Team(0, 4).enlarge(params)
    assert larger.batch_size == 32
    assert larger.learning_rate == pytest.approx(growth * 1e-3)
    assert ALONE.enlarge(params) == params


def tuned(rendezvous: Path | None, params: TrialParams, images: ImageSet, rank: int) -> list[float]:
    """Train losses, and the weights' sum of squares, of a fine-tune in a team of two or alone."""
    configure_process(threads=1)
    team = ALONE
    if rendezvous is not None:
        distributed.init_process_group(
            "gloo", init_method=rendezvous.as_uri(), rank=rank, world_size=2
        )
        team = Team.of_process_group()
    weights, settings = Weights(params.backbone, "none", None), FineTuneSettings(max_epochs=2)
    tuning = FineTuning(
        params, weights, num_classes=3, train=images, val=None, settings=settings, team=team
    )
    with torch.no_grad():  # the first process gives the others its weights
        for parameter in tuning.model.parameters():
            parameter.add_(0.1 * rank)
    losses = [report.train_loss for report in finetune(tuning)]
    norm = sum(float(p.detach().square().sum()) for p in tuning.model.parameters())
    assert team.decide(rank == 0, tuning.device), "the first process says so"
    if rendezvous is not None:
        distributed.destroy_process_group()
    return [*losses, norm]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_whole_batches(
    params: TrialParams, train_set: ImageSet, tmp_path: Path
) -> None:
    vit = params.model_copy(
        update={"backbone": "test_vit", "unfreeze": 1.0, "dropout": 0.0, "balance": "weighted"}
    )
    assert len(train_set) % vit.batch_size, "the last batch is smaller"
    run = partial(tuned, tmp_path / "rendezvous", vit, train_set)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, context) as pool:
        first, second = pool.map(run, range(2))
    alone = tuned(None, vit, train_set, 0)
    assert first[-1] == pytest.approx(second[-1], rel=1e-6), "both have the same weights"
    assert first[-1] == pytest.approx(alone[-1], rel=1e-4)
