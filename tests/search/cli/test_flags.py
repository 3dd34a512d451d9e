import argparse
from pathlib import Path
from typing import Any

import pytest

from search.cli.flags import add_setting_flags, config_from_arguments, settings_from_flags
from search.config import GROUPS, SweepConfig, all_settings
from spaces import ConfigError


def parser(**options: Any) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(usage="")
    made.add_argument("--config", type=Path)
    add_setting_flags(made, **options)
    return made


def section(text: str, title: str) -> str:
    """The part of a help below a heading."""
    return text.partition(f"\n{title}:\n")[2].partition("\n\n")[2].partition("\n\n")[0]


def test_the_help_lists_every_setting_under_its_group() -> None:
    text = parser().format_help()
    for setting in all_settings():
        assert f"  {setting.flag}" in section(text, setting.group.TITLE), setting.name


def test_the_help_says_defaults_choices_and_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # so that no line breaks at a hyphen
    text = " ".join(parser().format_help().split())
    assert "Seed of the split, the sampler and every trial. [0]" in text
    assert "Export formats" not in text and "[timm,onnx,pt2]" in text
    assert "[auto] One of auto, asha, hyperband, median, freeze-thaw, none." in text
    assert "Presets: classic, default, demo, edge, thorough." in text
    assert "for small data" in text and "[unset]" in text


def test_a_command_accepts_settings_that_its_help_hides() -> None:
    some = parser(shown=("trials", "retrain"), without=("data",))
    text = some.format_help()
    shown = [group.TITLE for group in GROUPS if f"\n{group.TITLE}:\n" in text]
    assert shown == ["Search", "Final model"]
    assert "--seed" not in text and "[16]" not in text
    assert settings_from_flags(some.parse_args(["--seed", "3"])) == {"seed": "3"}
    with pytest.raises(SystemExit):
        some.parse_args(["--data", "d"])


def test_a_flag_that_is_not_given_sets_nothing() -> None:
    assert settings_from_flags(parser(data_is_positional=True).parse_args([])) == {}
    given = ["d", "--no-retrain", "--export.formats", "onnx,pt2"]
    assert settings_from_flags(parser(data_is_positional=True).parse_args(given)) == {
        "data": "d",
        "retrain": False,
        "export.formats": ["onnx", "pt2"],
    }


def test_minutes_are_a_time_budget() -> None:
    given = settings_from_flags(parser().parse_args(["--data", "d", "--minutes", "1.5"]))
    assert SweepConfig.parse(given).time_budget == 90
    with pytest.raises(ConfigError, match="time_budget: must be a time such as 90m"):
        SweepConfig.parse(given | {"time_budget": "fewm"})


def test_parameters_are_fixed_one_by_one_or_several_in_a_flag(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('data = "d"\n[fix]\nfit = "crop"\nimage_size = 96\n')
    flags = ["--config", str(file), "--fix", "fit=letterbox,augment=0", "--fix", "batch_size = 8"]
    config = config_from_arguments(parser().parse_args(flags))
    assert config.fix == {"fit": "letterbox", "image_size": 96, "augment": 0.0, "batch_size": 8}
    assert isinstance(config.fix["augment"], float) and isinstance(config.fix["batch_size"], int)


@pytest.mark.parametrize("pair", ["fit", "fit=", "=crop", "fit=crop,"])
def test_a_parameter_is_not_fixed_without_a_name_and_a_value(pair: str) -> None:
    with pytest.raises(ConfigError, match=r"--fix needs NAME=VALUE, such as fit=letterbox, not"):
        settings_from_flags(parser().parse_args(["--fix", pair]))


def test_flags_override_the_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('data = "d"\ntrials = 5\nseed = 1\n')
    config = config_from_arguments(parser().parse_args(["--config", str(file), "--trials", "7"]))
    assert (config.trials, config.seed, config.epochs) == (7, 1, 10)
