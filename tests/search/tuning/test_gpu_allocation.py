"""On logical GPUs, and with a stand-in for the probe that only a real card can answer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

from search.cluster import selector_excluding
from search.config import SweepConfig
from search.trial import TrialJob
from search.tuning import Resources, fit_resources, measure_shares, one_trial_per_kind
from search.tuning.gpu_allocation import GpuPeak, probe_peaks, share_of
from spaces import ConfigError, SearchSpace, TrialParams
from trainables.data import Dataset
from trainables.training import MemoryCase, MemoryTable

CARD, GIB = "Some Card", 1024


@pytest.fixture
def job(dataset: Dataset, settings: dict[str, Any], tmp_path: Path) -> TrialJob:
    config = SweepConfig.parse({**settings, "gpus_per_trial": "auto", "cache_dir": tmp_path})
    return TrialJob(config, dataset, {}, {}, on_gpu=True)


class StandIn:
    """Takes a MiB per image and pixel of side, and a hundred times that where all trains."""

    def __init__(self) -> None:
        self.asked: list[MemoryCase] = []

    def __call__(self, job: TrialJob, trials: Sequence[TrialParams]) -> Iterator[GpuPeak]:
        for params in trials:
            self.asked.append(MemoryCase.of(params))
            mib = params.batch_size * params.image_size * (1 if params.unfreeze == 0 else 10) / 2
            yield GpuPeak(CARD, mib, 80 * GIB)


def trial(**fields: Any) -> TrialParams:
    return TrialParams(**{"backbone": "test_vit", "image_size": 96, "batch_size": 32, **fields})


@pytest.mark.parametrize(
    ("mib", "share"), [(100, 1 / 8), (9_000, 1 / 4), (30_000, 1 / 2), (60_000, 1), (99_000, 1)]
)
def test_a_gpu_share_is_the_smallest_that_holds_the_peak_and_its_margin(
    mib: float, share: float
) -> None:
    assert share_of(mib, 80 * GIB) == share


def test_trials_of_similar_size_are_measured_as_one_case() -> None:
    assert MemoryCase.of(trial(unfreeze=0.3, batch_size=17)) == MemoryCase.of(trial(unfreeze=0.5))
    assert MemoryCase.of(trial(unfreeze=0.51)) != MemoryCase.of(trial(unfreeze=0.5))
    assert MemoryCase.of(trial(batch_size=33)).batch_size == 64


def test_all_cases_of_trials_are_known_before_the_search() -> None:
    space = SearchSpace.from_table(
        {
            "backbone": {"choices": ["a", "b"]},
            "image_size": 64,
            "unfreeze": {"low": 0.1, "high": 0.6},
            "batch_size": {"low": 16, "high": 48},
        },
        name="test",
    )
    kinds = one_trial_per_kind(space, [trial(unfreeze=0.0)], {"a": 64, "b": 64}, drawn=True)
    cases = {MemoryCase.of(params) for params in kinds}
    drawn = {(c.unfreeze, c.batch_size) for c in cases if c.backbone == "a"}
    assert drawn == {(d, b) for d in (0.25, 0.5, 1.0) for b in (16, 32, 64)}
    assert MemoryCase.of(trial(unfreeze=0.0)) in cases
    assert len(kinds) == len(cases) == 19
    assert one_trial_per_kind(space, [trial()], {}, drawn=False) == [trial(unfreeze=0.25)]


def test_each_case_is_measured_once_per_gpu_and_sets_its_trials_share(
    ray_cluster: None, job: TrialJob, tmp_path: Path
) -> None:
    whole = fit_resources(job.config)
    assert (whole.gpus, whole.concurrent) == (1.0, 1)
    kinds = [trial(unfreeze=0.0), trial(unfreeze=1.0, batch_size=128)]
    probe = StandIn()
    sized = measure_shares(job, whole, kinds, probe=probe)
    assert probe.asked == [MemoryCase.of(params) for params in kinds]
    assert sized.request_for(trial(unfreeze=0.0)).required_resources["GPU"] == 1 / 8
    assert sized.request_for(trial(unfreeze=1.0, batch_size=100)).required_resources["GPU"] == 1.0
    assert sized.request_for(trial(backbone="unknown")).required_resources["GPU"] == 1.0
    assert sized.request_for(trial(unfreeze=0.0)).required_resources["CPU"] == 1 / 8
    assert sized.concurrent == 2, "the test's settings allow no more"
    again = StandIn()
    assert measure_shares(job, whole, kinds, probe=again) == sized
    assert len(again.asked) == 1, "to learn the card's name"


def test_on_two_kinds_of_gpus_a_share_is_of_the_smaller_one(
    ray_cluster: None, job: TrialJob
) -> None:
    """Ray may measure the kinds of trials on different machines."""

    def probe(job: TrialJob, trials: Sequence[TrialParams]) -> Iterator[GpuPeak]:
        for params in trials:
            large = params.unfreeze == 0
            yield GpuPeak("Large" if large else "Small", 9_000, (80 if large else 16) * GIB)

    kinds = [trial(unfreeze=0.0), trial(unfreeze=1.0)]
    sized = measure_shares(job, fit_resources(job.config), kinds, probe=probe)
    assert [sized.gpus_of(params) for params in kinds] == [1.0, 1.0]


def test_a_trial_holds_the_share_of_the_machines_that_its_gpu_share_is() -> None:
    small, large = trial(unfreeze=0.0), trial(unfreeze=1.0)
    shares = {MemoryCase.of(small): 1 / 8, MemoryCase.of(large): 1.0}
    held = Resources(1, True, 1.0, concurrent=16, shares=shares)
    assert (held.share_held(small), held.share_held(large)) == (1 / 16, 1 / 2)
    assert Resources(1, False, 0, concurrent=4).share_held(small) == 1 / 4


def test_a_raised_estimate_outlives_the_next_probe(
    ray_cluster: None, job: TrialJob, tmp_path: Path
) -> None:
    MemoryTable.of(tmp_path).put(CARD, job.memory_case(trial(unfreeze=0.0)), 30_000)
    kinds = [trial(unfreeze=0.0)]
    sized = measure_shares(job, fit_resources(job.config), kinds, probe=StandIn())
    assert sized.request_for(kinds[0]).required_resources["GPU"] == 1 / 2


def test_without_a_gpu_that_workers_see_no_share_is_measured(
    ray_cluster: None, job: TrialJob, tmp_path: Path
) -> None:
    whole = fit_resources(job.config)
    assert list(probe_peaks(job, [trial()])) == []
    assert measure_shares(job, whole, [trial()]) == whole
    assert not MemoryTable.of(tmp_path).file.exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_peak_does_not_include_what_the_trial_before_held(job: TrialJob) -> None:
    small, large = trial(unfreeze=0.0), trial(unfreeze=1.0, batch_size=128)
    before, _, after = (peak.mib for peak in probe_peaks(job, [small, large, small]))
    assert after <= 1.05 * before


def test_an_explicit_gpu_share_is_used(
    settings: dict[str, Any], ray_cluster: None, job: TrialJob
) -> None:
    config = SweepConfig.parse({**settings, "gpus_per_trial": 0.25, "cpus_per_trial": 0.25})
    given = fit_resources(config)
    assert measure_shares(replace(job, config=config), given, [trial()], probe=StandIn()) == given
    assert given.request_for(trial()).required_resources == {"CPU": 0.25, "GPU": 0.25}


def test_more_workers_to_retrain_than_the_cluster_has_are_refused(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    fit_resources(SweepConfig.parse({**settings, "retrain_workers": 3}))
    for gpus, room in ((0, "3 CPUs"), (1, "1 GPU")):
        config = SweepConfig.parse({**settings, "retrain_workers": 4, "gpus_per_trial": gpus})
        with pytest.raises(ConfigError, match=f"retrain_workers is 4, but the cluster has {room}"):
            fit_resources(config)


def test_cpus_per_trial_follow_the_gpu_share() -> None:
    eighth = Resources(16.0, True, 1.0, 8, {MemoryCase.of(trial()): 1 / 8})
    assert eighth.request_for(trial()).required_resources == {"CPU": 2.0, "GPU": 1 / 8}
    assert str(eighth) == "8 at a time, each with 2 CPUs and 0.125 of a GPU"
    fewer = replace(eighth, cpus=4.0)
    assert fewer.request_for(trial()).required_resources == {"CPU": 0.5, "GPU": 1 / 8}
    given = replace(eighth, cpus=2.0, cpus_scale_with_gpus=False)
    assert given.request_for(trial()).required_resources == {"CPU": 2.0, "GPU": 1 / 8}
    assert given.request_for(trial(backbone="whole")).required_resources == {"CPU": 2.0, "GPU": 1.0}


def test_a_task_does_not_run_on_machines_to_avoid(ray_cluster: None) -> None:
    ids = [node["NodeID"] for node in ray.nodes()]
    for avoided in (ids[:1], ids[1:]):
        selector = selector_excluding(avoided)
        task = ray.remote(num_cpus=0, label_selector=selector)(_where)
        assert {ray.get(task.remote()) for _ in range(3)} == set(ids) - set(avoided)
    assert selector_excluding([]) == {}


def _where() -> str:
    return str(ray.get_runtime_context().get_node_id())
