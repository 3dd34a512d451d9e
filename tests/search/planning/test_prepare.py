import json
from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import RecordedPlan, prepare_plan
from spaces import ConfigError, SearchSpace, SpaceError, WeightsError
from trainables.models import Preprocessing


def test_missing_weights_are_reported_before_images_are_read(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for image in ("1.png", "2.png", "3.png"):
            (tmp_path / "data" / name / image).write_bytes(f"{name} {image}".encode())
    values = {**settings, "weights": "pretrained", "data": tmp_path / "data"}
    with pytest.raises(WeightsError, match="can't be downloaded"):
        prepare_plan(SweepConfig.parse(values))


def test_a_plan_has_the_backbones_that_auto_keeps_and_says_which(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    text = 'image_size = 32\n[backbone]\nchoices = "auto"\nmax_gmacs = 0.31\n'
    (tmp_path / "auto.toml").write_text(text)
    values = {**settings, "space": str(tmp_path / "auto.toml"), "points": None}
    prepared = prepare_plan(SweepConfig.parse(values))
    assert set(prepared.weights) == set(prepared.space.backbones)
    assert "mobilenetv2_100.ra_in1k" in prepared.weights
    assert prepared.notes[0].startswith('backbone = "auto" keeps')
    (tmp_path / "space.json").write_text(json.dumps(prepared.space.to_table()))
    recorded = SearchSpace.load(str(tmp_path / "space.json"))
    resumed = prepare_plan(SweepConfig.parse(values), RecordedPlan(recorded, [], sampler_seed=0))
    assert resumed.space.backbones == prepared.space.backbones
    assert resumed.notes == ()


def test_an_image_size_that_a_backbone_can_not_take_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="test_vit can't take images of 33 pixels"):
        prepare_plan(SweepConfig.parse({**settings, "fix": {"image_size": 33}}))


def test_an_image_size_at_which_a_model_breaks_in_any_way_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """timm's MViTv2 raises an IndexError."""
    (tmp_path / "mvit.toml").write_text('backbone = "mvitv2_tiny"\nimage_size = 100\n')
    changed = {"space": str(tmp_path / "mvit.toml"), "weights": "untrained", "points": None}
    with pytest.raises(SpaceError, match="mvitv2_tiny can't take images of 100 pixels"):
        prepare_plan(SweepConfig.parse({**settings, **changed}))


def test_mirror_images_are_not_averaged_where_no_image_is_mirrored(
    settings: dict[str, Any],
) -> None:
    values = {**settings, "test_time_flips": "horizontal", "fix": {"flips": "none"}}
    with pytest.raises(ConfigError, match="flips is none in this space"):
        prepare_plan(SweepConfig.parse(values))


def test_every_fit_that_a_trial_may_use_is_prepared_as_a_pixel_format(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    space = Path(settings["space"]).read_text() + '[fit]\nchoices = ["letterbox", "crop"]\n'
    (tmp_path / "fits.toml").write_text(space)
    prepared = prepare_plan(SweepConfig.parse({**settings, "space": str(tmp_path / "fits.toml")}))
    assert {form.fit for form in prepared.pixel_formats} == {"letterbox", "crop"}


def test_every_image_size_that_a_trial_may_use_is_prepared_as_a_pixel_format(
    settings: dict[str, Any],
) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "fix": {"image_size": 48}}))
    wanted = {
        Preprocessing.of(name).pixel_format(48, "squash") for name in prepared.space.backbones
    }
    assert wanted <= set(prepared.pixel_formats)
    assert {form.side for form in prepared.pixel_formats} == {
        48,
        *(p.image_size for p in prepared.points),
    }


def test_a_cache_that_can_not_be_written_is_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache_dir .*file/cache can't be written"):
        prepare_plan(SweepConfig.parse({**settings, "cache_dir": tmp_path / "file" / "cache"}))


def test_weights_are_prepared_for_every_backbone_that_a_trial_may_use(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    points = tmp_path / "points.json"
    points.write_text('[{"backbone": "test_resnet"}]')
    values = {**settings, "points": points, "starts": False}
    only_point = prepare_plan(SweepConfig.parse({**values, "trials": 1}))
    assert list(only_point.weights) == list(only_point.preprocessing) == ["test_resnet"]
    all_three = prepare_plan(SweepConfig.parse({**values, "trials": 2}))
    assert list(all_three.weights) == ["test_resnet", "test_efficientnet", "test_vit"]


def test_a_resume_uses_the_recorded_space_points_and_seed(settings: dict[str, Any]) -> None:
    config = SweepConfig.parse({**settings, "space": "default", "points": None, "prior": ["old"]})
    space = SearchSpace.load(settings["space"])
    recorded = RecordedPlan(space, [{"unfreeze": 0.5, "image_size": 32}], sampler_seed=7)
    prepared = prepare_plan(config, recorded)
    assert (prepared.space, prepared.sampler_seed) == (space, 7)
    assert [point.unfreeze for point in prepared.points] == [0.5]


@pytest.mark.parametrize(
    ("sampler", "stopping", "warned"),
    [("gp", "asha", True), ("gp", "none", False), ("tpe", "asha", False)],
)
def test_a_sampler_that_would_see_too_few_completed_trials_gives_a_warning(
    sampler: str,
    stopping: str,
    warned: bool,
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    prepare_plan(SweepConfig.parse({**settings, "sampler": sampler, "stopping": stopping}))
    warnings = [record.message for record in caplog.records]
    assert any("consider --stopping none" in warning for warning in warnings) is warned
