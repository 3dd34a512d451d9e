from pathlib import Path

import pytest

from search.config import SweepConfig, launch_arguments, overlay, read_toml
from spaces import ConfigError


def test_flags_override_the_toml_file_which_overrides_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('data = "d"\ntrials = 5\n[asha]\ngrace_epochs = 2\nreduction_factor = 4\n')
    config = SweepConfig.parse(overlay(read_toml(file), {"trials": "7", "asha.grace_epochs": "3"}))
    assert (config.trials, config.asha.grace_epochs, config.asha.reduction_factor) == (7, 3, 4)
    assert config.epochs == 10


def test_overlaying_settings_does_not_change_the_lower_layer() -> None:
    below = {"asha": {"grace_epochs": 2}}
    assert overlay(below, {"asha.grace_epochs": 3, "split.eval_is": "val"}) == {
        "asha": {"grace_epochs": 3},
        "split": {"eval_is": "val"},
    }
    assert below == {"asha": {"grace_epochs": 2}}


@pytest.mark.parametrize(
    ("text", "sentence"), [(None, "does not exist"), ("trials = = 3", "is not valid TOML")]
)
def test_an_unreadable_settings_file_is_refused(
    tmp_path: Path, text: str | None, sentence: str
) -> None:
    file = tmp_path / "sweep.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_toml(file)


def test_a_launch_command_has_only_the_settings_that_differ_from_defaults() -> None:
    values = {
        "data": "/photos",
        "max_epochs": 4,
        "retrain": False,
        "calibrate": True,
        "export": {"formats": ["onnx", "pt2"]},
        "asha": {"grace_epochs": 2},
        "fix": {"fit": "crop", "augment": 0.0},
    }
    arguments = launch_arguments(SweepConfig.parse(values))
    assert arguments == [
        "/photos",
        *("--fix", "fit=crop,augment=0.0"),
        *("--asha.grace-epochs", "2"),
        *("--max-epochs", "4"),
        "--no-retrain",
        "--calibrate",
        *("--export.formats", "onnx,pt2"),
    ]


def test_a_launch_command_has_no_name_and_no_folders(tmp_path: Path) -> None:
    values = {"data": "/photos", "name": "n", "results_dir": tmp_path, "cache_dir": tmp_path}
    values |= {"address": "auto", "storage_path": "s3://b/p"}
    assert launch_arguments(SweepConfig.parse(values)) == ["/photos"]


def test_with_a_budget_the_command_keeps_a_number_of_trials_equal_to_the_default() -> None:
    config = SweepConfig.parse({"data": "/photos", "gpu_hours": 2, "trials": 16})
    assert launch_arguments(config) == ["/photos", "--trials", "16", "--gpu-hours", "2.0"]
