"""Exports that are, and that are not, of their sweep's final model."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from search.final.selection import EnsembleMember
from search.operations import export_sweep, report_sweep
from search.record import FinalModel, SweepPaths, is_of_final_model, read_trials
from spaces import RunError
from tests.support.command_line import finesweep
from tests.support.finalizing import finalize_from_untrained
from tests.support.shapes import draw_shapes
from trainables.inference import Predictor

LEFT = Path(__file__).parents[2] / "fixtures" / "sweep_0_1"


@pytest.fixture
def old(tmp_path: Path) -> SweepPaths:
    """A sweep of an earlier version, whose export is of its final model."""
    return SweepPaths(Path(shutil.copytree(LEFT, tmp_path / "results" / "shapes")))


def retrain_alone(paths: SweepPaths) -> None:
    """Replace the retrained weights by others, as versions did that exported afterwards."""
    state = load_file(paths.final_weights)
    save_file(
        {name: t * 1.1 if t.ndim == 2 else t for name, t in state.items()}, paths.final_weights
    )


def test_predict_refuses_an_export_of_another_model_than_its_sweeps(
    old: SweepPaths, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert finesweep("predict", old.export, digits / "one") == 0
    capsys.readouterr()
    retrain_alone(old)
    assert finesweep("predict", old.export, digits / "one") == 2
    said = capsys.readouterr()
    name = FinalModel.read(old).name
    assert f"The export {old.export} is not of {name}, the final model of its sweep" in said.err
    assert f"export shapes --results-dir {old.root.parent}'" in said.err
    assert not said.out
    beside = shutil.copytree(old.export, old.root / "handed-over")
    assert finesweep("predict", beside, digits / "one") == 2
    moved = shutil.copytree(old.export, tmp_path / "export")
    assert finesweep("predict", moved, digits / "one") == 0


@pytest.mark.parametrize("change", [{"labels": ["disc", "frame", "ring"]}, {"flips": "both"}])
def test_an_export_with_other_labels_or_flips_is_of_another_model(
    old: SweepPaths, change: dict[str, object]
) -> None:
    config = old.export / "config.json"
    assert is_of_final_model(Predictor.load(old.export), old)
    values = json.loads(config.read_text())
    values["finesweep"] |= change
    config.write_text(json.dumps(values))
    assert not is_of_final_model(Predictor.load(old.export), old)


def test_a_sweep_without_weights_can_not_be_compared_with(old: SweepPaths) -> None:
    predictor = Predictor.load(old.export)
    old.final_weights.unlink()
    assert is_of_final_model(predictor, old)


def test_weights_of_another_architecture_are_told(old: SweepPaths) -> None:
    predictor = Predictor.load(old.export)
    state = load_file(old.final_weights)
    save_file({f"other.{name}": t for name, t in state.items()}, old.final_weights)
    with pytest.raises(RunError, match="does not hold the weights of test_"):
        is_of_final_model(predictor, old)
    old.final_weights.write_bytes(old.final_weights.read_bytes()[:-100])
    with pytest.raises(RunError, match="does not hold the weights of test_"):
        is_of_final_model(predictor, old)


def test_predictions_of_another_model_are_not_reported(old: SweepPaths, tmp_path: Path) -> None:
    metrics = old.metrics.read_text()
    accuracy = FinalModel.read(old).test.accuracy
    old.metrics.write_text(metrics.replace(f'"accuracy": {accuracy}', '"accuracy": 0.9', 1))
    with pytest.raises(RunError, match="so they are of different models; restore both"):
        report_sweep(old, out=tmp_path / "page.html")


@pytest.mark.slow
def test_a_sweep_that_is_finalized_again_replaces_an_export_of_another_model(
    old: SweepPaths, tmp_path: Path
) -> None:
    images = draw_shapes(tmp_path / "shapes")
    old.dataset.write_text(old.dataset.read_text().replace("/data/shapes", str(images)))
    earlier = shutil.copytree(old.export, tmp_path / "earlier")
    winner = FinalModel.read(old).winner.trial_id
    other = next(t for t in read_trials(old.journal) if t.trial_id != winner)
    finalize_from_untrained(old, [EnsembleMember(other)])
    export_sweep(old, formats=["timm", "onnx", "pt2"], out=tmp_path / "other")
    for file in ("model.onnx", "model.pt2", ""):
        assert is_of_final_model(Predictor.load(tmp_path / "other" / file), old)
    shutil.copytree(earlier, old.export, dirs_exist_ok=True)
    assert not is_of_final_model(Predictor.load(old.export), old)
    finalize_from_untrained(old, [EnsembleMember(other)], reuse=True)
    assert is_of_final_model(Predictor.load(old.export), old)
