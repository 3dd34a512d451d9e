import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search import SweepConfig
from search.config import WHOLE_EPOCHS, Rounds
from search.preparation import (
    Preparation,
    _with_length_of_trials,
    prepare_sweep,
    record_launch,
)
from search.record import StageClock, SweepPaths
from spaces import ConfigError, SearchSpace
from trainables.data import Dataset
from trainables.progress import ignore_progress


@pytest.fixture(scope="module")
def config(settings: dict[str, Any]) -> SweepConfig:
    return SweepConfig.parse({**settings, "name": "prepared"})


@pytest.fixture(scope="module")
def prepared(config: SweepConfig, ray_cluster: None) -> Preparation:
    return prepare_sweep(config, ignore_progress, StageClock())


def test_preparation_decodes_the_images_and_examines_the_machines(
    config: SweepConfig, prepared: Preparation
) -> None:
    (store,) = prepared.stores.values()
    assert store.file.exists()
    assert list(prepared.stores) == list(prepared.plan.pixel_formats)
    assert (config.metric, prepared.plan.config.metric) == ("auto", "val_accuracy")
    assert prepared.resources.concurrent == 2
    assert len(prepared.machines) == 2


def test_gpu_hours_without_a_gpu_are_refused_before_an_image_is_read(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    config = SweepConfig.parse({**settings, "gpu_hours": 1, "cache_dir": tmp_path})
    with pytest.raises(ConfigError, match="hold no GPU; use time_budget"):
        prepare_sweep(config, ignore_progress, StageClock())
    assert not list(tmp_path.rglob("*.npy"))


def test_a_launch_is_recorded_before_its_first_trial(
    config: SweepConfig, prepared: Preparation, tmp_path: Path
) -> None:
    paths, given = SweepPaths(tmp_path / "sweep"), tmp_path / "given.toml"
    paths.root.mkdir()
    given.write_text("trials = 5\n")
    record_launch(paths, prepared.plan, config, given)
    assert paths.given_settings.read_text() == given.read_text()
    assert SweepConfig.parse(json.loads(paths.config.read_text())) == config, "as it was asked"
    resolved = json.loads(paths.resolved.read_text())
    assert resolved == {
        "metric": "val_accuracy",
        "sampler_seed": config.sampler_seed,
        "max_epochs": config.epochs,
        "rounds": {"per_epoch": 1, "val_images": None},
    }
    dataset = Dataset.read(paths.dataset, paths.split)
    assert dataset.fingerprint == prepared.plan.survey.dataset.fingerprint
    assert dataset.splits.tolist() == prepared.plan.survey.dataset.splits.tolist()
    assert pd.read_csv(paths.bad_images).empty
    assert SearchSpace.load(str(paths.space)).open.keys() == prepared.plan.space.open.keys()
    points = json.loads(paths.initial_points.read_text())
    assert points == [point.model_dump() for point in prepared.plan.points]


def test_the_length_of_a_round_is_measured_at_the_launch_of_a_large_set_and_then_kept(
    config: SweepConfig, ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MAX_EPOCH_IMAGES", 10), ("MIN_ROUND_IMAGES", 16), ("ROUND_SECONDS", 0)):
        monkeypatch.setattr(f"search.planning.trial_length.{name}", value)
    plan = prepare_sweep(config, ignore_progress, StageClock()).plan
    assert plan.rounds == Rounds(round(84 / 16), 500)
    paths = SweepPaths(tmp_path / "sweep")
    paths.root.mkdir()
    record_launch(paths, plan, config)
    monkeypatch.delattr("search.preparation.measure_training_speed")
    again = prepare_sweep(config, ignore_progress, StageClock(), recorded_in=paths)
    assert again.plan.rounds == plan.rounds


@pytest.mark.parametrize(
    ("given", "epochs"),
    [({}, 10), ({"time_budget": "1h"}, 10), ({"time_budget": 1}, 1), ({"max_epochs": 12}, 12)],
)
def test_a_trial_has_as_many_epochs_as_the_time_budget_leaves_time_for(
    settings: dict[str, Any], ray_cluster: None, given: dict[str, Any], epochs: int
) -> None:
    unset = {name: value for name, value in settings.items() if name != "max_epochs"}
    config = SweepConfig.parse({**unset, "name": "long", **given})
    assert prepare_sweep(config, ignore_progress, StageClock()).plan.config.max_epochs == epochs


def test_linear_probes_alone_have_whole_epochs_unless_a_length_is_given(
    prepared: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.planning.trial_length.MAX_EPOCH_IMAGES", 10)
    probes = (prepared.plan.points[0].linear_probe,) * prepared.plan.config.trials

    def rounds(**given: object) -> Rounds:
        settings = prepared.plan.config.model_copy(update=given)
        plan = replace(prepared.plan, config=settings, points=probes)
        return _with_length_of_trials(
            plan,
            prepared.stores,
            prepared.resources,
            prepared.machines,
            ignore_progress,
            deadline=math.inf,
        ).rounds

    assert rounds() == WHOLE_EPOCHS
    assert rounds(round_images=21, val_images=9) == Rounds(4, 9)
