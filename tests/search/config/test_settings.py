import json
from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig, overlay, read_toml, setting_fields
from search.planning.checks import read_points
from spaces import ConfigError


def test_every_setting_is_documented() -> None:
    assert all(info.description for _, info in setting_fields())


def test_flags_lie_over_toml_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('data = "d"\ntrials = 5\n[asha]\ngrace_epochs = 2\nreduction_factor = 4\n')
    config = SweepConfig.parse(overlay(read_toml(file), {"trials": "7", "asha.grace_epochs": "3"}))
    assert (config.trials, config.asha.grace_epochs, config.asha.reduction_factor) == (7, 3, 4)
    assert config.max_epochs == 10


def test_paths_become_absolute_and_a_name_is_made() -> None:
    config = SweepConfig.parse({"data": "some/my cells"})
    assert config.data.is_absolute()
    assert config.results_dir.is_absolute()
    assert config.name.startswith("my_cells-")


def test_a_config_made_without_parse_is_as_good(tmp_path: Path) -> None:
    config = SweepConfig(data=tmp_path)
    assert config.results_dir.is_absolute()
    assert "~" not in str(config.cache_dir)
    assert config.name.startswith(tmp_path.name)


def test_a_folder_of_weights_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w").mkdir()
    monkeypatch.chdir(tmp_path)
    values = {"data": "d", "weights": "w", "space": "mine.toml"}
    config = SweepConfig.parse(values)
    assert (config.weights, config.space) == (str(tmp_path / "w"), str(tmp_path / "mine.toml"))
    (tmp_path / "demo").mkdir()
    (tmp_path / "pretrained").mkdir()
    config = SweepConfig.parse({"data": "d", "space": "demo"})
    assert (config.weights, config.space) == ("pretrained", "demo"), "names come before folders"


def test_the_resolved_settings_are_read_back_as_they_were() -> None:
    config = SweepConfig.parse({"data": "d", "asha": {"grace_epochs": 2}})
    written = json.dumps(config.model_dump(mode="json"))
    assert SweepConfig.parse(json.loads(written)) == config


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"trails": 3}, "Unknown setting 'trails'; did you mean 'trials'"),
        ({"asha": {"grace": 3}}, r"did you mean 'asha\.grace_epochs'"),
        ({"trials": 0}, "trials should be greater than or equal to 1, not 0"),
        ({"metric": "accuracy"}, "metric should be 'auto', 'val_accuracy'"),
        ({"name": "a/b"}, "name may hold letters"),
        ({"max_epochs": 2, "asha": {"grace_epochs": 3}}, "must not be above max_epochs"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: must be auto or a share from 0 to 1, not 1.5"),
        ({"gpus_per_trial": "half"}, "gpus_per_trial: must be auto or a share from 0 to 1"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SweepConfig.parse({"data": "d", **values})


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        SweepConfig.parse({"trials": "many", "max_epochs": 0})
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"unfreeze": 1}', "must hold a list of objects"),
        ("[", "is not JSON"),
        (None, "does not exist"),
    ],
)
def test_a_wrong_points_file_is_refused(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "points.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_points(file)
