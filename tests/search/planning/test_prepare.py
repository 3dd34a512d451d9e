from pathlib import Path
from typing import Any

import pytest

from search.config import SweepConfig
from search.planning import prepare_plan
from spaces import ConfigError, SpaceError, WeightsError
from trainables.models import Preprocessing


def test_weights_that_can_not_be_had_are_told_before_images_are_read(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "empty" / name).mkdir(parents=True)
    values = {**settings, "weights": "pretrained", "data": tmp_path / "empty"}
    with pytest.raises(WeightsError, match="can't be downloaded"):
        prepare_plan(SweepConfig.parse(values))


def test_a_size_that_a_backbone_can_not_take_is_told(settings: dict[str, Any]) -> None:
    with pytest.raises(SpaceError, match="test_vit can't take images of 33 pixels"):
        prepare_plan(SweepConfig.parse({**settings, "image_size": 33}))


def test_every_size_that_a_trial_may_ask_for_is_a_format(settings: dict[str, Any]) -> None:
    prepared = prepare_plan(SweepConfig.parse({**settings, "image_size": 48}))
    wanted = {Preprocessing.of(name).pixel_format(48) for name in prepared.space.backbones}
    assert wanted <= set(prepared.pixel_formats)
    assert {form.side for form in prepared.pixel_formats} == {
        48,
        *(p.image_size for p in prepared.points),
    }


def test_a_cache_that_can_not_be_written_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cache_dir .*file/cache can't be written"):
        prepare_plan(SweepConfig.parse({**settings, "cache_dir": tmp_path / "file" / "cache"}))
