"""Several objectives: a good metric, and a small model."""

from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from search import Sweep, SweepConfig, SweepResult
from search.config import SamplerName
from search.record import read_trials
from search.tuning.study import StudyJournal
from spaces import ConfigError, SearchSpace
from tests.support.round_reports import report
from trainables.models import ModelCost

SPACE = SearchSpace.from_table(
    {"backbone": {"choices": ["small", "large"]}, "dropout": {"low": 0, "high": 0.5}}, name="test"
)


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "nsga2"])
def test_samplers_get_all_objectives_and_handle_stopped_trials(
    sampler: SamplerName,
) -> None:
    storage = InMemoryStorage()
    study = StudyJournal(
        storage,
        SPACE,
        metric="val_accuracy",
        sampler=sampler,
        seed=0,
        max_rounds=9,
        objectives=["parameters"],
    )
    for i in range(14):
        number, values = study.ask()
        size = 1.0 if values["backbone"] == "small" else 9.0
        params = SPACE.params(values, native_image_size={"small": 32, "large": 32})
        study.begin(number, params, model_cost=ModelCost(size, 5.0))
        study.report(number, report(1, 0.5 + size / 100))
        study.end(number, "stopped" if i % 3 == 0 else "completed")
    recorded = storage.get_all_trials(0)
    assert {tuple(t.values) for t in recorded if t.values} <= {(0.51, 1.0), (0.59, 9.0)}
    assert all(trial.model_cost for trial in study.trials())


@pytest.mark.parametrize("sampler", ["cmaes", "mfgp"])
def test_a_sampler_for_one_objective_is_refused(sampler: SamplerName) -> None:
    with pytest.raises(ConfigError, match=f"{sampler} supports only one objective"):
        SweepConfig.parse({"data": "d", "objectives": ["parameters"], "sampler": sampler})


def test_several_objectives_get_a_sampler_that_supports_them() -> None:
    assert SweepConfig.parse({"data": "d"}).sampler == "mfgp"
    assert SweepConfig.parse({"data": "d", "objectives": ["parameters"]}).sampler == "tpe"
    explicit = SweepConfig.parse({"data": "d", "objectives": ["parameters"], "sampler": "nsga2"})
    assert explicit.sampler == "nsga2"


@pytest.fixture(scope="module")
def sized(settings: dict[str, Any], ray_cluster: None) -> SweepResult:
    """A sweep whose objectives are a small and a fast model, too."""
    given = {**settings, "name": "sized", "retrain": False}
    given |= {"objectives": ["parameters", "latency_ms"]}
    return Sweep(SweepConfig.parse(given)).run()


def test_a_sweep_records_the_cost_of_each_model_and_the_pareto_front(sized: SweepResult) -> None:
    by_backbone = sized.trials.groupby("params.backbone")
    assert by_backbone["parameters"].nunique().max() == 1
    assert by_backbone["latency_ms"].nunique().max() == 1
    sizes = by_backbone["parameters"].first()
    assert 0.05 < sizes["test_efficientnet"] < sizes["test_vit"] < 0.5, "millions"
    leaderboard = sized.paths.leaderboard.read_text()
    assert (
        " and parameters and latency_ms: no other trial is at least as good in all" in leaderboard
    )


def test_a_resume_keeps_all_objectives(sized: SweepResult) -> None:
    before = read_trials(sized.paths.journal)
    again = Sweep.existing(sized.paths, {"trials": 7}).resume()
    assert again.unfinished == 0
    after = read_trials(sized.paths.journal)
    assert after[: len(before)] == before
    costs = {(t.params.backbone, t.model_cost) for t in after}
    assert len(costs) == len({t.params.backbone for t in after}), "as first measured"
