from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.config.groups import OutputSettings, SearchSettings, SpaceSettings
from spaces import ConfigError


def test_paths_become_absolute_and_a_missing_name_is_generated() -> None:
    config = SweepConfig.parse({"data": "some/my cells"})
    assert isinstance(config.data, Path) and config.data.is_absolute()
    assert config.results_dir.is_absolute()
    assert config.name.startswith("my_cells-")


def test_a_config_from_the_constructor_also_gets_absolute_paths_and_a_name(tmp_path: Path) -> None:
    config = SweepConfig(data=tmp_path)
    assert config.results_dir.is_absolute()
    assert "~" not in str(config.cache_dir)
    assert config.name.startswith(tmp_path.name)


def test_an_address_stays_as_it_is_and_its_options_are_not_in_the_name() -> None:
    config = SweepConfig.parse({"data": "s3://bucket/photos?region=x"})
    assert config.data == "s3://bucket/photos?region=x"
    assert config.name.startswith("photos-")


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


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90m", 5400), ("2h", 7200), ("1.5d", 129600), (3600, 3600), (None, None)],
)
def test_a_time_budget_in_any_notation_becomes_seconds(
    given: object, seconds: float | None
) -> None:
    assert SearchSettings.model_validate({"time_budget": given}).time_budget == seconds


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gpus_per_trial": 1.5}, "gpus_per_trial: must be auto or a share from 0 to 1, not 1.5"),
        ({"gpus_per_trial": "half"}, "gpus_per_trial: must be auto or a share from 0 to 1"),
        ({"time_budget": "0m"}, "time_budget: must be a time such as 90m"),
        ({"sensitivity": "crack=1.5"}, "sensitivity: must be CLASS=SHARE"),
        ({"sensitivity": "crack=0.0"}, "sensitivity: must be CLASS=SHARE"),
        ({"mlflow": "http://me:secret@host"}, "mlflow: must be an address without a password"),
    ],
)
def test_an_invalid_value_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SweepConfig.parse({"data": "d", **values})


def test_a_class_name_may_contain_an_equals_sign() -> None:
    assert SweepConfig.parse({"data": "d", "sensitivity": "a=b=0.9"}).sensitivity == "a=b=0.9"


def test_a_group_of_settings_can_be_used_alone() -> None:
    assert SpaceSettings(points=Path("p.json")).points == Path("p.json").absolute()
    assert OutputSettings().name == "", "there are no data to name it after"


def test_the_size_of_the_cache_is_converted_to_bytes() -> None:
    assert SweepConfig.parse({"data": "d", "cache_gib": 0.5}).cache_bytes == 2**29


def test_a_database_of_mlflow_has_an_absolute_path() -> None:
    here = SweepConfig.parse({"data": "d", "mlflow": "sqlite:///mlflow.db"}).mlflow
    assert here == f"sqlite:///{Path('mlflow.db').absolute()}"
    for uri in (here, "http://host:5000", "auto", ""):
        assert SweepConfig.parse({"data": "d", "mlflow": uri}).mlflow == uri
