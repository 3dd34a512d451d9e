import json
from dataclasses import asdict
from pathlib import Path

import pytest

from search.config import WHOLE_EPOCHS, Rounds, SweepConfig
from search.record import (
    ResolvedSettings,
    SweepPaths,
    extends_search,
    load_sweep_config,
    requested_config,
)
from spaces import ConfigError
from trainables.files import write_json


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    """A launched sweep: settings as requested, and what they were resolved to."""
    launched = SweepPaths(tmp_path / "moved" / "photos")
    launched.root.mkdir(parents=True)
    requested = SweepConfig.parse({"data": tmp_path, "name": "first-name", "trials": 9})
    launched.config.write_text(requested.model_dump_json())
    launched.resolved.write_text(json.dumps({"metric": "val_loss", "sampler_seed": 1009}))
    return launched


def test_stored_settings_stay_as_the_user_gave_them(paths: SweepPaths) -> None:
    config = requested_config(paths)
    assert (config.name, config.metric, config.trials) == ("first-name", "auto", 9)


def test_a_moved_sweep_runs_in_its_new_folder_with_its_resolved_metric(paths: SweepPaths) -> None:
    config = load_sweep_config(paths)
    assert (config.name, config.metric) == ("photos", "val_loss")
    assert config.results_dir == paths.root.parent


def test_a_resume_may_change_the_budget_but_not_the_space(paths: SweepPaths) -> None:
    assert requested_config(paths, {"trials": 50}).trials == 50
    with pytest.raises(ConfigError, match="space can't change in a sweep that has begun"):
        load_sweep_config(paths, {"space": "demo"})


def test_an_earlier_version_kept_the_resolved_metric_among_the_settings(paths: SweepPaths) -> None:
    assert ResolvedSettings.read(paths) == ResolvedSettings("val_loss", 1009, 10)
    assert ResolvedSettings.read(paths).rounds == WHOLE_EPOCHS, "it had no rounds either"
    paths.resolved.unlink()
    values = {**json.loads(paths.config.read_text()), "metric": "val_macro_f1"}
    paths.config.write_text(json.dumps(values))
    assert ResolvedSettings.read(paths).metric == "val_macro_f1"
    assert ResolvedSettings.read(paths).sampler_seed == requested_config(paths).sampler_seed


def test_the_epochs_and_rounds_of_a_launch_are_kept(paths: SweepPaths) -> None:
    resolved = ResolvedSettings("val_loss", 1009, 4, Rounds(20, 900))
    write_json(paths.resolved, asdict(resolved))
    assert ResolvedSettings.read(paths) == resolved
    assert load_sweep_config(paths).epochs == 4


@pytest.mark.parametrize("name", ["trials", "time_budget", "gpu_hours", "target"])
def test_a_new_budget_extends_an_ended_search(name: str) -> None:
    assert extends_search({name: 1, "retrain": False})


def test_other_changes_do_not_extend_an_ended_search() -> None:
    assert not extends_search({"retrain": False, "export.formats": ["timm"]})
