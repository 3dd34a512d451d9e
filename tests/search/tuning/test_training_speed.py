from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import complete_plan, prepare_plan
from search.trial import TrialJob
from search.tuning import fit_resources, measure_training_speed
from spaces import RunError, TrialParams
from trainables.data import build_store


@pytest.mark.parametrize("given", [{}, {"folds": 3}, {"round_images": 20}])
def test_the_speed_of_training_is_measured_on_a_worker(
    ray_cluster: None, settings: dict[str, Any], params: TrialParams, given: dict[str, Any]
) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "points": None, **given}))
    plan = complete_plan(prepared)
    dataset, cache = plan.survey.dataset, plan.config.cache_dir
    stores = {form: build_store(dataset, form, cache=cache) for form in plan.pixel_formats}
    job = TrialJob(plan.config, dataset, stores, plan.weights, on_gpu=False)
    assert 10 < measure_training_speed(job, fit_resources(plan.config), params) < 1e5


def test_a_failure_is_one_sentence_with_a_way_out(
    ray_cluster: None, settings: dict[str, Any], params: TrialParams
) -> None:
    job = TrialJob(SweepConfig.parse(settings), None, {}, {}, on_gpu=False)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"could not be measured \(.*\). Repair the cause, or give"):
        measure_training_speed(job, fit_resources(job.config), params)
