from pathlib import Path

import pytest

from spaces import SearchSpace, SpaceError, preset_names


def space(**table: object) -> SearchSpace:
    return SearchSpace.from_table({"backbone": {"choices": ["a", "b"]}, **table}, name="test")


@pytest.mark.parametrize("name", preset_names())
def test_presets_load_and_give_a_reason_for_every_bound(name: str) -> None:
    preset = SearchSpace.load(name)
    assert preset.doc
    assert all(dim.reason for dim in preset.open.values())
    native = dict.fromkeys(preset.backbones, 224)
    assert preset.params({}, native_image_size=native).backbone in preset.backbones


def test_five_presets_ship() -> None:
    assert preset_names() == ["classic", "default", "demo", "edge", "thorough"]


def test_a_space_of_an_earlier_version_keeps_its_meaning() -> None:
    assert space(freeze_batchnorm={"value": True}).dimensions["batchnorm"].start == "batch"
    both = space(freeze_batchnorm={"choices": [True, False]}).dimensions["batchnorm"]
    assert both.extremes == ("batch", "all")


def test_an_unknown_preset_lists_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'default'"):
        SearchSpace.load("defalt")


def test_a_space_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('backbone = "a"\n[unfreeze]\nlow = 0\nhigh = 1\n')
    assert list(SearchSpace.load(str(file)).open) == ["unfreeze"]
    file.write_text("backbone = ")
    with pytest.raises(SpaceError, match="not valid TOML"):
        SearchSpace.load(str(file))
    with pytest.raises(SpaceError, match="does not exist"):
        SearchSpace.load(str(tmp_path / "other.toml"))
