import json
import os
from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import check_inputs, check_launch, prepare_plan
from search.planning import checks as module
from search.planning.checks import read_points
from spaces import ConfigError, Fixed, SpaceError


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


def test_without_a_file_there_are_no_points() -> None:
    assert read_points(None) == []


def test_a_point_may_name_a_backbone_as_the_hub_prints_it(tmp_path: Path) -> None:
    file = tmp_path / "points.json"
    file.write_text('[{"backbone": "timm/resnet18.a1_in1k", "unfreeze": 0.5}]')
    assert read_points(file) == [{"backbone": "resnet18.a1_in1k", "unfreeze": 0.5}]


def new_sweep(settings: dict[str, Any], results: Path, **changes: Any) -> SweepConfig:
    return SweepConfig.parse({**settings, "results_dir": results, "name": "new", **changes})


def test_the_space_of_a_sweep_has_the_parameters_fixed_that_its_settings_fix(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    fixed = {"augment": 0, "fit": "crop"}
    space = check_launch(new_sweep(settings, tmp_path, fix=fixed)).space
    assert space.dimensions["augment"] == Fixed(value=0.0)
    assert space.dimensions["fit"] == Fixed(value="crop")
    with pytest.raises(SpaceError, match="Unknown parameter 'fitt'; did you mean 'fit'"):
        check_launch(new_sweep(settings, tmp_path, fix={"fitt": "crop"}))


def test_a_point_that_contradicts_a_fixed_parameter_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    points = tmp_path / "points.json"
    points.write_text('[{"fit": "crop", "dropout": 0.2}]')
    config = new_sweep(settings, tmp_path, points=points, fix={"fit": "letterbox"})
    with pytest.raises(ConfigError, match=r"sets fit to 'crop', but fix sets it to 'letterbox'"):
        check_launch(config)
    agreeing = new_sweep(settings, tmp_path, points=points, fix={"fit": "crop"})
    assert check_launch(agreeing).points == [{"fit": "crop", "dropout": 0.2}]


def test_a_prior_that_is_not_a_sweep_is_refused_at_once(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="No sweep 'old'"):
        check_launch(new_sweep(settings, tmp_path, prior=["old"]))


def test_more_points_than_trials_are_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    points = tmp_path / "points.json"
    points.write_text("[{}, {}]")
    with pytest.raises(ConfigError, match="has 2 points but trials is 1"):
        check_launch(new_sweep(settings, tmp_path, points=points, trials=1))


def test_the_name_of_an_existing_sweep_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    config = new_sweep(settings, tmp_path)
    (tmp_path / "new").mkdir()
    with pytest.raises(ConfigError, match="exists and holds no sweep"):
        check_launch(config)
    (tmp_path / "new" / "sweep.json").write_text("{}")
    with pytest.raises(ConfigError, match="The sweep 'new' exists"):
        check_launch(config)


def test_inputs_that_were_checked_are_not_checked_again(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    check_source = module.check_source
    monkeypatch.setattr(
        module, "check_source", lambda *a, **named: checks.append(a) or check_source(*a, **named)
    )
    config = new_sweep(settings, tmp_path)
    checked = check_launch(config)
    assert checked.points == json.loads(Path(settings["points"]).read_text())
    plan = prepare_plan(config, checked=checked)
    assert len(checks) == 1
    assert plan.points == prepare_plan(config).points
    assert len(checks) == 2, "who did not check before does it then"
    assert check_inputs(config).points == checked.points


@pytest.mark.parametrize("results", ["file/results", "/proc/results"])
def test_results_that_could_not_be_written_are_told_before_anything_is_spent(
    settings: dict[str, Any], tmp_path: Path, results: str
) -> None:
    (tmp_path / "file").touch()
    config = new_sweep(settings, tmp_path / results)
    with pytest.raises(ConfigError, match=r"results_dir .* can't be written \(.*\); name another"):
        check_launch(config)


def test_results_below_a_path_that_is_not_utf8_are_told(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config = new_sweep(settings, tmp_path / os.fsdecode(b"caf\xe9"))
    with pytest.raises(ConfigError, match=r"results_dir .*/caf\\xe9 is not UTF-8"):
        check_launch(config)
