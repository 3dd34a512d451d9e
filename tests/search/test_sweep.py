import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from search import Sweep, SweepConfig, SweepResult
from search.operations import retrain_sweep
from search.record import FinalModel, read_trials
from search.tuning import fit_resources
from spaces import ConfigError, DataError, TrialParams
from trainables.data import Dataset
from trainables.inference import Predictor
from trainables.training import last_as_good

pytestmark = pytest.mark.slow


def test_a_sweep_leaves_every_file_that_its_readme_names(sweep: SweepResult) -> None:
    root = sweep.paths.root
    for name in [
        "sweep.json",
        "resolved.json",
        "space.json",
        "environment.json",
        "dataset.json",
        "split.csv",
        "bad_images.csv",
        "study.journal",
        "sweep.log",
        "ray",
        "tensorboard",
        "trials.parquet",
        "trials.csv",
        "epochs.parquet",
        "leaderboard.md",
        "retrained/metrics.json",
        "retrained/predictions.parquet",
        "retrained/model.safetensors",
        "export/config.json",
        "export/model.safetensors",
        "export/model.onnx",
        "export/model.pt2",
        "export/labels.txt",
        "export/README.md",
    ]:
        assert (root / name).exists(), name
    assert not list(root.rglob("*.partial"))
    assert not [p for p in (root / "export").rglob("*") if p.suffix in (".pkl", ".pth", ".bin")]


def test_the_tables_keep_the_columns_that_users_rely_on(sweep: SweepResult) -> None:
    table = pd.read_parquet(sweep.paths.trials)
    columns = {"trial_id", "status", "epochs", "best_epoch", "val_accuracy", "val_loss", "seconds"}
    assert columns | {f"params.{f}" for f in TrialParams.model_fields} <= set(table.columns)
    assert len(table) == 5
    assert set(table["status"]) <= {"completed", "stopped"}
    epochs = pd.read_parquet(sweep.paths.epochs)
    assert len(epochs) == table["epochs"].sum()
    best = epochs.groupby("trial_id")["val_accuracy"].max()
    assert (table.set_index("trial_id")["val_accuracy"] == best[table["trial_id"]]).all()
    assert table["val_accuracy"].is_monotonic_decreasing


def test_the_points_were_tried_first(sweep: SweepResult) -> None:
    first = read_trials(sweep.paths.journal)[0].params
    assert (first.label_smoothing, first.unfreeze, first.backbone) == (
        0.1,
        1.0,
        "test_efficientnet",
    )


def test_asha_stopped_some_trials_and_let_some_finish(sweep: SweepResult) -> None:
    for trial in read_trials(sweep.paths.journal):
        finished = len(trial.reports) == 3
        assert trial.status == ("completed" if finished else "stopped")
        assert trial.reports[-1].is_last == finished


def test_the_test_result_agrees_with_the_saved_predictions(sweep: SweepResult) -> None:
    metrics = json.loads(sweep.paths.metrics.read_text())
    table = pd.read_parquet(sweep.paths.predictions)
    right = (table["label"] == table["predicted"]).mean()
    assert metrics["test"]["accuracy"] == pytest.approx(right)
    low, high = metrics["test"]["accuracy_ci95"]
    assert low < right < high or right == 1
    assert metrics["majority_accuracy"] == pytest.approx(1 / 3)
    assert metrics["test"]["classes"] == ["one", "seven", "zero"]
    assert sum(map(sum, metrics["test"]["confusion_matrix"])) == len(table) == 18
    assert table.filter(like="p.").sum(axis=1).to_numpy() == pytest.approx(1)
    assert set(metrics) == {"test", "majority_accuracy", "members", "rates", "probe", "flips"}
    assert metrics["members"][0]["weight"] == 1


def test_the_winner_is_retrained_up_to_its_last_epoch_as_good_as_the_best(
    sweep: SweepResult,
) -> None:
    assert sweep.final is not None
    assert sweep.final == FinalModel.read(sweep.paths)
    winner, images = (
        sweep.final.winner,
        len(Dataset.read(sweep.paths.dataset, sweep.paths.split).rows("val")),
    )
    assert winner.trial_id == sweep.trials["trial_id"].iloc[0]
    (trial,) = [t for t in read_trials(sweep.paths.journal) if t.trial_id == winner.trial_id]
    last = last_as_good(trial.reports, "val_accuracy", images)
    assert last is not None
    assert winner.epochs == last.epoch


def test_the_split_that_was_used_is_written_down(sweep: SweepResult) -> None:
    dataset = Dataset.read(sweep.paths.dataset, sweep.paths.split)
    test_images = {dataset.paths[row] for row in dataset.rows("test")}
    assert set(pd.read_parquet(sweep.paths.predictions)["path"]) == test_images


def test_trials_share_a_gpu_by_fractions_and_a_diverged_one_fails_alone(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    """The GPU is a logical one: only the scheduling is tested."""
    points = tmp_path / "points.json"
    points.write_text(json.dumps([{"learning_rate": 1e30, "optimizer": "sgd"}, {}]))
    values = {**settings, "points": points, "trials": 2, "gpus_per_trial": 0.5}
    values |= {"cpus_per_trial": 0.5, "name": "shared", "stopping": "none"}
    values |= {"export": {"formats": ["timm"]}}
    config = SweepConfig.parse(values)
    assert fit_resources(config).concurrent == 2
    result = Sweep(config).run()
    assert sorted(result.trials["status"]) == ["completed", "failed"]
    failed = result.trials.set_index("status").loc["failed"]
    assert "no longer finite" in failed["error"]
    assert result.unfinished == 0
    assert result.final is not None, "retrained by a task of the cluster"
    epochs = result.final.winner.epochs
    assert f"epoch {epochs} of {epochs}: train_loss" in result.paths.log.read_text()


def test_more_resources_than_the_cluster_has_are_refused(
    settings: dict[str, Any], ray_cluster: None
) -> None:
    with pytest.raises(ConfigError, match="64 CPUs and 0 GPUs, but no machine has both"):
        fit_resources(SweepConfig.parse({**settings, "cpus_per_trial": 64}))
    with pytest.raises(ConfigError, match="no machine has both"):  # three only in all
        fit_resources(SweepConfig.parse({**settings, "cpus_per_trial": 3}))


def test_the_name_of_an_existing_sweep_is_refused_before_anything_runs(
    sweep: SweepResult, settings: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="finesweep resume"):
        Sweep(SweepConfig.parse({**settings, "name": "digits"})).run()


def test_another_trial_can_be_retrained_and_an_unknown_one_is_refused(sweep: SweepResult) -> None:
    with pytest.raises(ConfigError, match="the trials are 0000 to 0004"):
        retrain_sweep(sweep.paths, trial="77")
    again = retrain_sweep(sweep.paths, trial=str(sweep.trials["trial_id"].iloc[-1]))
    assert again.final is not None
    assert again.final.winner.trial_id == sweep.trials["trial_id"].iloc[-1]
    best = retrain_sweep(sweep.paths)
    assert best.final == sweep.final, "the same retraining gives the same model"


def test_a_sweep_on_compressed_images_is_tested_on_the_original_ones(
    settings: dict[str, Any],
    large_digits: Path,
    ray_cluster: None,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The test's probabilities are those of `predict`; a retraining needs the original files."""
    caplog.set_level("INFO", logger="finesweep")
    data = Path(shutil.copytree(large_digits, tmp_path / "digits"))
    folders = {"data": data, "results_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    tight = {"cache_gib": 250_000 / 2**30, "trials": 2, "name": "tight"}
    paths = Sweep(SweepConfig.parse({**settings, **folders, **tight})).run().paths
    assert "images of 32x32 pixels: compressed as JPEGs" in caplog.text
    assert {t.status for t in read_trials(paths.journal)} <= {"completed", "stopped"}
    assert len(list((tmp_path / "cache" / "pixels").glob("*.jpegs"))) == 1

    dataset = Dataset.read(paths.dataset, paths.split)
    tested = pd.read_parquet(paths.predictions).filter(like="p.").to_numpy()
    files = [dataset.file(row) for row in dataset.rows("test")]
    assert tested == pytest.approx(Predictor.load(paths.export).probabilities(files), abs=1e-5)

    shutil.rmtree(data)
    for kept in (tmp_path / "cache" / "pixels").glob("*.npy"):
        kept.unlink()  # the decoded test images
    with pytest.raises(DataError, match=r"is missing .* with --data FOLDER"):
        retrain_sweep(paths)
