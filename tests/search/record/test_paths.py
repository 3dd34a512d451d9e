from pathlib import Path

import pytest

from search.record import SweepPaths
from spaces import ConfigError


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder with the sweeps "one" and "two"."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sweep.json").touch()
    return tmp_path


def test_a_sweep_is_found_by_its_name_and_by_its_folder(results: Path) -> None:
    assert SweepPaths.existing("one", results) == SweepPaths(results / "one")
    assert SweepPaths.existing(results / "two", Path("results")) == SweepPaths(results / "two")


def test_an_unknown_sweep_is_an_error_that_lists_those_there_are(results: Path) -> None:
    (results / "no sweep").mkdir()
    with pytest.raises(ConfigError, match=r"No sweep 'no sweep' in .*; existing sweeps: one, two"):
        SweepPaths.existing("no sweep", results)
    with pytest.raises(ConfigError, match="there are none yet"):
        SweepPaths.existing("one", results / "one")


def test_every_path_is_below_the_sweeps_folder_and_unique() -> None:
    paths = SweepPaths(Path("/results/photos"))
    names = {name for name, value in vars(SweepPaths).items() if isinstance(value, property)}
    names -= {"staged", "final_model"}
    files = [getattr(paths, name) for name in names]
    assert all(file.is_relative_to(paths.root) for file in files)
    assert len(set(files)) == len(files) > 25


def test_a_new_final_model_is_staged_beside_the_present_one() -> None:
    paths = SweepPaths(Path("/results/photos"))
    assert paths.final_model == paths.root
    assert paths.staged.journal == paths.journal
    assert paths.staged.final_model.parent == paths.root
    assert paths.staged.metrics == paths.staged.final_model / "retrained" / "metrics.json"
    assert paths.staged.model_card == paths.staged.final_model / "export" / "README.md"


def test_the_winner_of_an_ensemble_has_the_file_of_a_single_model() -> None:
    paths = SweepPaths(Path("/results/photos"))
    assert paths.member_weights(0) == paths.final_weights
    assert paths.final_weights.name == "model.safetensors"
    assert paths.member_weights(2).name == "model-2.safetensors"


def test_a_repeat_says_in_tensorboard_what_it_repeats() -> None:
    paths = SweepPaths(Path("/results/photos"))
    assert paths.tensorboard_run("0007", "resnet18").name == "0007-resnet18"
    assert paths.tensorboard_run("0009", "resnet18", "0007").name == "0009-resnet18-repeats-0007"
