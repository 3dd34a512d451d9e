import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from search import SweepResult
from search.cli import main
from search.operations import export_sweep, report_sweep, retrain_sweep
from search.record import FinalModel, SweepPaths, load_sweep_config
from spaces import ConfigError
from trainables.data import Dataset

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(sweep: SweepResult, tmp_path: Path) -> SweepPaths:
    return SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "copy")))


def test_settings_of_the_final_model_can_be_changed_afterwards(copied: SweepPaths) -> None:
    retrain_sweep(copied, changes={"ensemble": 3, "calibrate": True})
    kept = load_sweep_config(copied)
    assert (kept.ensemble, kept.calibrate) == (3, True)
    final = FinalModel.read(copied)
    assert sum(member.weight for member in final.members) == pytest.approx(1)
    weight_files = {path.name for path in copied.retrained.glob("*.safetensors")}
    assert weight_files == {copied.member_weights(k).name for k in range(len(final.members))}


def test_a_single_trial_replaces_an_ensemble_without_leftovers(
    ensemble: SweepPaths, tmp_path: Path
) -> None:
    paths = SweepPaths(Path(shutil.copytree(ensemble.root, tmp_path / "alone")))
    final = retrain_sweep(paths, trial="0").final
    assert final is not None
    assert [member.trial_id for member in final.members] == ["0000"]
    assert [file.name for file in paths.retrained.glob("*.safetensors")] == ["model.safetensors"]
    assert (paths.export / "config.json").exists(), "timm can load it again"


def test_only_settings_of_the_final_model_can_be_changed(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results-dir", str(sweep.paths.root.parent)]
    with pytest.raises(SystemExit):
        main(["retrain", "digits", "--trials", "9", *where])
    assert (
        "can't change trials, only data, weights, ensemble, calibrate," in capsys.readouterr().err
    )


def test_a_retraining_takes_the_images_from_where_they_are_now(
    settings: dict[str, Any], copied: SweepPaths, tmp_path: Path
) -> None:
    there = Path(shutil.copytree(settings["data"], tmp_path / "moved"))
    retrain_sweep(copied, changes={"data": there})
    dataset = Dataset.read(copied.dataset, copied.split)
    assert dataset.file(0).is_relative_to(there)
    assert load_sweep_config(copied).data == there
    next(there.rglob("*.png")).unlink()
    with pytest.raises(ConfigError, match="are not those that the sweep 'copy' was launched with"):
        retrain_sweep(copied, changes={"data": there})


def test_a_retraining_needs_no_files_of_images_that_are_kept_decoded(copied: SweepPaths) -> None:
    root = str(Dataset.read(copied.dataset, copied.split).root)
    copied.dataset.write_text(copied.dataset.read_text().replace(root, "/gone"))
    shutil.rmtree(copied.retrained)
    shutil.rmtree(copied.export)
    retrain_sweep(copied)
    assert (copied.export / "README.md").exists()


def test_a_missing_package_is_reported_before_a_retraining(
    copied: SweepPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(ConfigError, match=r"needs onnxscript; pip install 'finesweep\[onnx\]'"):
        retrain_sweep(copied)
    assert not copied.staged.retrained.exists(), "nothing was retrained"


@pytest.mark.parametrize("name", ["5", "0005", "best"])
def test_an_unknown_trial_is_refused_with_a_list_of_the_trials(
    name: str, copied: SweepPaths
) -> None:
    with pytest.raises(ConfigError, match=f"No trial '{name}'; the trials are 0000 to 0004."):
        retrain_sweep(copied, trial=name)


def test_the_report_of_an_ensemble_names_its_members(ensemble: SweepPaths, tmp_path: Path) -> None:
    page = report_sweep(ensemble, out=tmp_path / "page.html").read_text()
    names = [member.trial_id for member in FinalModel.read(ensemble).members]
    assert f"the mean of trials {', '.join(names)} has a test accuracy of" in page


def test_a_sweep_that_was_not_retrained_has_nothing_to_export(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no retrained model; run '.*finesweep retrain"):
        export_sweep(SweepPaths(tmp_path))
    staged = SweepPaths(tmp_path).staged
    staged.retrained.mkdir(parents=True)
    staged.metrics.touch()
    with pytest.raises(ConfigError, match=r"waits for its export, .* run '.*finesweep resume"):
        export_sweep(SweepPaths(tmp_path))
