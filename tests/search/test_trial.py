from collections.abc import Callable
from typing import Any

import pytest
from ray import tune

from search.config import SweepConfig
from search.draft import draft_plan
from search.plan import make_plan
from search.trial import PARAMS, FineTuneTrial, TrialJob
from spaces import TrialParams
from trainables.memory import MemoryTable
from trainables.pixels import build_store


@pytest.fixture(scope="module")
def start(settings: dict[str, Any], ray_cluster: None) -> Callable[[TrialParams], FineTuneTrial]:
    """Starts an actor's trial in this process."""
    config = SweepConfig.parse({**settings, "points": None, "max_epochs": 2})
    plan = make_plan(draft_plan(config))
    cache = config.cache_dir
    stores = {f: build_store(plan.survey.dataset, f, cache=cache) for f in plan.forms}
    job = TrialJob(config, plan.survey.dataset, stores, plan.weights, on_gpu=False)
    made = tune.with_parameters(FineTuneTrial, job=job)
    return lambda params: made(config={PARAMS: params})


def numbers(trial: FineTuneTrial) -> list[dict[str, float]]:
    """What a trial reports, clocks left out."""
    reports = [trial.train() for _ in range(2)]
    keys = ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "done")
    return [{key: report[key] for key in keys} for report in reports]


def test_a_trial_run_first_and_again_last_in_one_actor_gives_the_same_numbers(
    start: Callable[[TrialParams], FineTuneTrial],
) -> None:
    first = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.3, dropout=0.2)
    others = [
        TrialParams(backbone="test_vit", image_size=32, unfreeze=1.0),
        first.model_copy(update={"unfreeze": 0.0, "dropout": 0.5, "augment": 0.9}),
        first.model_copy(update={"freeze_batchnorm": False, "optimizer": "sgd"}),
    ]
    trial = start(first)
    before = numbers(trial)
    assert before[-1]["done"]
    for params in [*others, first]:
        assert trial.reset({PARAMS: params})
        after = numbers(trial)
    assert after == before
    assert numbers(start(first)) == before, "and in another actor"


def test_an_actor_that_ran_out_of_memory_asks_for_more_next_time(
    start: Callable[[TrialParams], FineTuneTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Some Card")
    params = TrialParams(backbone="test_efficientnet", image_size=32, unfreeze=0.0)
    trial = start(params)
    trial._tuning.ran_out = True
    trial.train()
    case = trial._job.memory_case(params)
    table = MemoryTable.of(trial._job.config.cache_dir)
    first = table.read("Some Card")[case]
    trial.train()
    assert table.read("Some Card")[case] == first, "once for each time"
    table.file.unlink()
