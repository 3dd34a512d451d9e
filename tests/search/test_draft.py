import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.draft import Draft, draft_plan
from spaces import ConfigError, SpaceError, WeightsError
from trainables.model import Preprocessing


def test_weights_that_can_not_be_had_are_told_before_images_are_read(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "empty" / name).mkdir(parents=True)
    values = {**settings, "weights": "pretrained", "data": tmp_path / "empty"}
    with pytest.raises(WeightsError, match="can't be had"):
        draft_plan(SweepConfig.parse(values))


def test_a_size_that_a_backbone_can_not_take_is_told(settings: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="test_vit can't take images of 33 pixels"):
        draft_plan(SweepConfig.parse({**settings, "image_size": 33}))


def test_every_size_that_a_trial_may_ask_for_is_a_format(settings: dict[str, Any]) -> None:
    draft = draft_plan(SweepConfig.parse({**settings, "image_size": 48}))
    wanted = {Preprocessing.of(name).form(48) for name in draft.space.backbones}
    assert wanted <= set(draft.forms)
    assert {form.side for form in draft.forms} == {48, *(p.image_size for p in draft.points)}


def test_a_cache_that_can_not_be_written_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache_dir .*file/cache can't be written"):
        draft_plan(SweepConfig.parse({**settings, "cache_dir": tmp_path / "file" / "cache"}))


def test_every_backbone_is_tried_at_the_defaults_behind_the_points_that_are_given(
    settings: dict[str, Any],
) -> None:
    draft = draft_plan(SweepConfig.parse({**settings, "trials": 5}))
    first, *starts = draft.points
    assert first.label_smoothing == 0.1
    assert [s.backbone for s in starts] == ["test_efficientnet", "test_vit"]
    assert {s.unfreeze for s in starts} == {1.0}
    few = draft_plan(SweepConfig.parse({**settings, "trials": 3}))
    assert few.points == draft.points[:2], "half of the trials at most"
    none = draft_plan(SweepConfig.parse({**settings, "trials": 5, "starts": False}))
    assert none.points == draft.points[:1]


def grid_of_six(settings: dict[str, Any], tmp_path: Path, **more: Any) -> Draft:
    space = tmp_path / "grid.toml"
    space.write_text(
        'image_size = 32\n[backbone]\nchoices = ["test_vit", "test_efficientnet"]\n'
        "[unfreeze]\nlow = 0\nhigh = 1\nstep = 0.5\n"
    )
    values = {**settings, "space": str(space), "points": None, "sampler": "grid", **more}
    return draft_plan(SweepConfig.parse(values))


def test_a_grid_is_tried_point_by_point(settings: dict[str, Any], tmp_path: Path) -> None:
    points = grid_of_six(settings, tmp_path, trials=6).points
    assert {(p.backbone, p.unfreeze) for p in points} == set(
        itertools.product(("test_vit", "test_efficientnet"), (0.0, 0.5, 1.0))
    )
    assert grid_of_six(settings, tmp_path, trials=4).points == points[:4]
    assert grid_of_six(settings, tmp_path, trials=6, seed=1).points != points


def test_a_grid_goes_on_behind_points_that_were_tried(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    points = grid_of_six(settings, tmp_path, trials=6).points
    tried = tmp_path / "points.json"
    tried.write_text(json.dumps([point.model_dump() for point in points[:4]]))
    assert grid_of_six(settings, tmp_path, trials=6, points=tried).points == points


def test_more_trials_than_a_grid_has_points_are_refused(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="set trials to 6 or fewer"):
        grid_of_six(settings, tmp_path, trials=7)
