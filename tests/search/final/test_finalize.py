import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch

from search import Sweep, SweepConfig, SweepResult
from search.cli.output import result_text
from search.final import FinalModelSpec
from search.final.export import _WRITERS
from search.final.finalize import reusable_final_model
from search.final.selection import EnsembleMember
from search.operations import report_sweep, retrain_sweep
from search.record import (
    FinalModel,
    SweepPaths,
    load_sweep_config,
    read_trials,
    read_validation_logits,
    sweep_command,
)
from spaces import ConfigError, RunError
from tests.support.finalizing import finalize_from_untrained
from trainables.data import Dataset
from trainables.images import read_rgb
from trainables.inference import Predictor

pytestmark = pytest.mark.slow


def test_an_ensemble_is_exported_as_one_model(ensemble: SweepPaths) -> None:
    final, dataset = FinalModel.read(ensemble), Dataset.read(ensemble.dataset, ensemble.split)
    assert [member.weight for member in final.members] == [0.75, 0.25]
    assert not (ensemble.export / "config.json").exists(), "it is no timm model"
    files = [dataset.file(row) for row in dataset.rows("test")]
    tested = pd.read_parquet(ensemble.predictions).filter(like="p.").to_numpy()
    for name in ("model.onnx", "model.pt2"):
        predicted = Predictor.load(ensemble.export / name).probabilities(files)
        assert predicted == pytest.approx(tested, abs=1e-3)


def test_a_final_model_is_reused_only_if_its_spec_is_the_same(sweep: SweepResult) -> None:
    final = FinalModel.read(sweep.paths)
    trials = {trial.trial_id: trial for trial in read_trials(sweep.paths.journal)}
    winner = EnsembleMember(trials[final.winner.trial_id])
    assert reusable_final_model(FinalModelSpec((winner,)), sweep.paths) == final
    cooler = replace(winner, temperature=2.0)
    assert reusable_final_model(FinalModelSpec((cooler,)), sweep.paths) is None
    went_on = EnsembleMember(
        replace(winner.trial, reports=(*winner.trial.reports, winner.trial.reports[-1]))
    )
    assert reusable_final_model(FinalModelSpec((went_on,)), sweep.paths) is None
    assert reusable_final_model(FinalModelSpec((winner,)), SweepPaths(Path("nowhere"))) is None


def test_a_final_model_that_a_time_budget_cut_short_comes_with_the_command_that_trains_it_on(
    sweep: SweepResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "cut")))
    facts = json.loads(copied.metrics.read_text())
    facts["members"][0]["epochs"] = 0.5
    copied.metrics.write_text(json.dumps(facts))
    name = FinalModel.read(copied).winner.trial_id
    (winner,) = (t for t in read_trials(copied.journal) if t.trial_id == name)
    with caplog.at_level("INFO", logger="finesweep"):
        finalize_from_untrained(copied, [EnsembleMember(winner)], reuse=True)
    assert f"ended the retraining of trial {name} after 0.5 of" in caplog.text
    assert f"to train it to the end:  {sweep_command('retrain', copied)}" in caplog.text


@pytest.fixture(scope="module")
def careful(
    settings: dict[str, Any],
    digits: Path,
    ray_cluster: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> SweepResult:
    """A sweep of two classes, of which the class "one" must not be missed."""
    folder = tmp_path_factory.mktemp("two")
    for name in ("one", "seven"):
        shutil.copytree(digits / name, folder / "data" / name)
    base = {**settings, "data": folder / "data", "results_dir": folder, "name": "careful"}
    changes = {"trials": 2, "max_epochs": 1, "confirm": 0, "sensitivity": "one=0.9"}
    return Sweep(SweepConfig.parse({**base, **changes})).run()


def test_a_sensitivity_gives_its_class_a_threshold(careful: SweepResult) -> None:
    assert careful.final is not None
    rates = careful.final.rates
    assert rates is not None
    assert (rates.point.positive, rates.point.wanted) == ("one", 0.9)
    assert FinalModel.read(careful.paths) == careful.final
    table = pd.read_parquet(careful.paths.predictions)
    predicted = table["p.one"] >= rates.point.threshold
    assert rates.sensitivity == pytest.approx(predicted[table["label"] == "one"].mean())
    assert rates.specificity == pytest.approx(1 - predicted[table["label"] != "one"].mean())
    row = f"sensitivity for one at a threshold of {rates.point.threshold:.3f}"
    assert row in careful.paths.model_card.read_text()
    assert report_sweep(careful.paths).read_text().count(row) == 1
    assert f"In the test   {row}: {rates.sensitivity:.4f}" in shown_text(careful)


def shown_text(result: SweepResult, **changes: object) -> str:
    """The text at the end of a launch."""
    return result_text(result, load_sweep_config(result.paths).model_copy(update=changes))


def test_the_terminal_shows_the_members_of_the_final_model(
    careful: SweepResult, ensemble: SweepPaths
) -> None:
    text = shown_text(careful, ensemble=3, calibrate=True, folds=5)
    assert "Ensemble      none: no ensemble was better" in text
    assert "Calibrated    logits divided by " in text
    assert "in cross-validation. Scores" in text
    text = shown_text(replace(careful, final=FinalModel.read(ensemble)))
    assert re.search(r"Ensemble      the mean of trials \d+ \(0.75\), \d+ \(0.25\)", text)


def test_test_time_flips_are_tested_and_exported_with_the_model(
    sweep: SweepResult, tmp_path: Path
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "flipped")))
    plain = FinalModel.read(paths)
    result = retrain_sweep(paths, changes={"test_time_flips": "both"})
    final, dataset = FinalModel.read(paths), Dataset.read(paths.dataset, paths.split)
    assert final == result.final
    assert (plain.flips, final.flips) == ("none", "both")
    files = [dataset.file(row) for row in dataset.rows("test")]
    tested = pd.read_parquet(paths.predictions).filter(like="p.").to_numpy()
    for name in ("", "model.onnx", "model.pt2"):
        predicted = Predictor.load(paths.export / name)
        assert predicted.spec.flips == "both"
        assert predicted.probabilities(files) == pytest.approx(tested, abs=1e-3)
    model = timm.create_model(f"local-dir:{paths.export}", pretrained=True).eval()
    images = predicted.spec.preprocess([read_rgb(file) for file in files])
    with torch.inference_mode():
        alone = model(images).softmax(dim=1).numpy()
    assert alone != pytest.approx(tested, abs=1e-3)
    card = " ".join(paths.model_card.read_text().split())
    assert "the mean over the image and its mirror images, left to right and top to bottom" in card
    assert "The timm folder holds the model without the mirror images" in card
    assert "Flips         the mean over the image and its mirror images" in shown_text(result)
    trials = {trial.trial_id: trial for trial in read_trials(paths.journal)}
    spec = FinalModelSpec((EnsembleMember(trials[final.winner.trial_id]),))
    assert reusable_final_model(spec, paths) is None
    assert reusable_final_model(replace(spec, flips="both"), paths) == final


@pytest.mark.parametrize("name", ["", "model.onnx", "model.pt2"])
def test_every_export_contains_the_threshold(careful: SweepResult, name: str) -> None:
    assert careful.final is not None
    assert careful.final.rates is not None
    predictor = Predictor.load(careful.paths.export / name)
    assert predictor.spec.point == careful.final.rates.point


def test_a_cross_validated_sweep_is_scored_on_all_but_the_test_images(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    changes = {"folds": 3, "trials": 2, "max_epochs": 1, "confirm": 0, "calibrate": True}
    given = {**settings, "name": "folds", "results_dir": tmp_path, **changes}
    result = Sweep(SweepConfig.parse(given)).run()
    dataset = Dataset.read(result.paths.dataset, result.paths.split)
    trials = read_trials(result.paths.journal)
    logits = read_validation_logits(
        result.paths.validation_logits,
        trials,
        "val_accuracy",
        dataset,
        dataset.rows("train", "val"),
    )
    assert len(logits) == 2
    assert len(logits[0]) == len(dataset) - len(dataset.rows("test"))
    assert result.final is not None
    assert len(pd.read_parquet(result.paths.predictions)) == len(dataset.rows("test"))


def test_more_folds_than_a_class_has_images_are_refused(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    with pytest.raises(
        ConfigError, match="folds is 99, but a class has only 34 different training"
    ):
        Sweep(SweepConfig.parse({**settings, "name": "many", "folds": 99})).run()
    with pytest.raises(ConfigError, match="folds must be 0"):
        SweepConfig.parse({**settings, "folds": 1})


def test_a_failed_export_leaves_the_old_final_model_and_keeps_the_new_one_for_another_try(
    sweep: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "failing")))
    old = {file: file.read_bytes() for file in handed_over(paths)}
    trial = read_trials(paths.journal)[0]
    with monkeypatch.context() as patched, pytest.raises(RunError, match="pt2 is broken"):
        patched.setitem(_WRITERS, "pt2", broken)
        finalize_from_untrained(paths, [EnsembleMember(trial)])
    assert {file: file.read_bytes() for file in handed_over(paths)} == old
    caplog.clear()
    with caplog.at_level("INFO", logger="finesweep"):
        final = finalize_from_untrained(paths, [EnsembleMember(trial)], reuse=True)
    assert "retraining" not in caplog.text
    assert FinalModel.read(paths) == final
    assert not list(paths.root.glob("*.partial"))


def test_a_damaged_export_is_written_anew_and_its_model_is_kept(
    sweep: SweepResult, tmp_path: Path, caplog: Any
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "damaged")))
    name = FinalModel.read(paths).winner.trial_id
    (winner,) = (t for t in read_trials(paths.journal) if t.trial_id == name)
    whole = (paths.export / "model.safetensors").read_bytes()
    (paths.export / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level("INFO", logger="finesweep"):
        finalize_from_untrained(paths, [EnsembleMember(winner)], reuse=True)
    assert "retraining" not in caplog.text
    assert (paths.export / "model.safetensors").read_bytes() == whole


def handed_over(paths: SweepPaths) -> list[Path]:
    """Files of the final model and its export."""
    return [*paths.retrained.iterdir(), *paths.export.iterdir()]


def broken(*given: object) -> None:
    raise RunError("pt2 is broken.")
