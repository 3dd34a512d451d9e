from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ray import tune

from search.config import SweepConfig
from search.planning import complete_plan, prepare_plan
from search.trial import (
    STATE_KEY,
    Checkpoints,
    CheckpointWriter,
    FineTuneTrial,
    TrialJob,
    TrialRequest,
)
from spaces import TrialParams
from trainables.data import build_store
from trainables.training import MemoryTable


def asked(params: TrialParams, *, again: bool = False) -> dict[str, Any]:
    """Configuration that Ray hands to an actor."""
    return TrialRequest(0, params, from_checkpoint=again).to_ray()


def write(checkpoints: Checkpoints, number: int, state: np.ndarray) -> None:
    """A state, written by the time this returns."""
    with CheckpointWriter(checkpoints) as writer:
        writer.keep(number, state)


@pytest.fixture(scope="module")
def checkpoints(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    return Checkpoints.here(tmp_path_factory.mktemp("checkpoints"), [])


@pytest.fixture(scope="module")
def start(
    settings: dict[str, Any], checkpoints: Checkpoints
) -> Callable[[TrialParams], FineTuneTrial]:
    """Starts an actor's trial in this process."""
    config = SweepConfig.parse({**settings, "points": None, "max_epochs": 2})
    plan = complete_plan(prepare_plan(config))
    cache = config.cache_dir
    stores = {f: build_store(plan.survey.dataset, f, cache=cache) for f in plan.pixel_formats}
    job = TrialJob(plan.config, plan.survey.dataset, stores, plan.weights, on_gpu=False)
    made = tune.with_parameters(FineTuneTrial, job=job, checkpoints=checkpoints)
    return lambda params: made(config=asked(params))


def numbers(trial: FineTuneTrial) -> list[dict[str, float]]:
    """What a trial reports, clocks left out."""
    reports = [trial.train() for _ in range(2)]
    keys = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "done")
    return [{key: report[key] for key in keys} for report in reports]


def test_a_trial_gives_the_same_numbers_first_and_last_in_one_actor(
    start: Callable[[TrialParams], FineTuneTrial],
) -> None:
    first = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.3, dropout=0.2)
    others = [
        TrialParams(backbone="test_vit", image_size=32, unfreeze=1.0),
        first.model_copy(update={"unfreeze": 0.0, "dropout": 0.5, "augment": 0.9}),
        first.model_copy(update={"batchnorm": "all", "optimizer": "sgd"}),
    ]
    trial = start(first)
    before = numbers(trial)
    assert before[-1]["done"]
    for params in [*others, first]:
        assert trial.reset(asked(params))
        after = numbers(trial)
    assert after == before
    assert numbers(start(first)) == before, "and in another actor"


def test_a_trial_that_ran_out_of_memory_requests_more_next_time(
    start: Callable[[TrialParams], FineTuneTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Some Card")
    params = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.0)
    trial = start(params)
    case = trial._job.memory_case(params)
    table = MemoryTable.of(trial._job.config.cache_dir)
    trial.train()
    assert case not in table.read("Some Card")
    table.put("Some Card", case, 1000)
    assert trial._tuning is not None
    trial._tuning._steps.ran_out_of_memory = True
    trial.train()
    assert table.read("Some Card") == {case: 1500}
    trial.reset(asked(params))
    trial.train()
    assert table.read("Some Card") == {case: 1500}, "once for each time"
    table.file.unlink()


def test_a_trial_resumes_from_its_checkpoint_in_another_actor_without_a_difference(
    start: Callable[[TrialParams], FineTuneTrial], checkpoints: Checkpoints
) -> None:
    params = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.5, dropout=0.2)
    undisturbed = numbers(start(params))
    first = start(params).train()
    write(checkpoints, 0, first[STATE_KEY])
    other = start(params)
    other.reset(asked(params, again=True))
    second = other.train()
    assert {key: second[key] for key in undisturbed[1]} == undisturbed[1]
    assert STATE_KEY not in second, "nobody goes on from the last epoch"


def test_a_trial_with_a_truncated_or_missing_checkpoint_starts_again(
    start: Callable[[TrialParams], FineTuneTrial], checkpoints: Checkpoints
) -> None:
    params = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.0)
    first = start(params).train()
    assert first[STATE_KEY].nbytes < 100_000, "what is frozen stays out of it"
    for spoil in (
        lambda file: file.write_bytes(file.read_bytes()[:5000]),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
    ):
        write(checkpoints, 0, first[STATE_KEY])
        spoil(checkpoints.file(0))
        trial = start(params)
        trial.reset(asked(params, again=True))
        assert trial.train()["epoch"] == 1
