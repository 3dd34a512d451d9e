import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from search import Sweep, SweepConfig, SweepResult
from search.final import retrain, retrain_team
from search.final.retrain import retrain_member
from search.final.selection import EnsembleMember
from search.operations import retrain_sweep
from search.record import FinalModel, SweepPaths, load_sweep_config, read_trials
from search.trial import TrialJob
from spaces import RunError, TrialParams
from trainables.data import Dataset, ImageSet, build_store, read_surveyed_image
from trainables.inference import ModelSpec
from trainables.models import Preprocessing, Weights
from trainables.training import FineTuneSettings, FineTuning, finetune

pytestmark = pytest.mark.slow


def test_predictions_of_an_ensemble_are_the_weighted_mean_of_its_members(
    ensemble: SweepPaths,
) -> None:
    final, dataset = FinalModel.read(ensemble), Dataset.read(ensemble.dataset, ensemble.split)
    spec = ModelSpec.of(final.winner.params, dataset.classes)
    rows = dataset.rows("test")
    images = spec.preprocess([read_surveyed_image(dataset, row, side=32) for row in rows])
    mean = 0.0
    with torch.inference_mode():
        for k, member in enumerate(final.members):
            model = member.load(ensemble.member_weights(k), len(dataset.classes))
            mean = mean + member.weight * model(images).softmax(dim=1).numpy()
    tested = pd.read_parquet(ensemble.predictions).filter(like="p.").to_numpy()
    assert tested == pytest.approx(mean, abs=1e-4)


def job_of(sweep: SweepResult, params: TrialParams) -> TrialJob:
    """The job of the sweep, with the images and the weights of a trial."""
    paths = sweep.paths
    config, dataset = load_sweep_config(paths), Dataset.read(paths.dataset, paths.split)
    pixel_format = Preprocessing.of(params.backbone).pixel_format(params.image_size, params.fit)
    store = build_store(dataset, pixel_format, cache=config.cache_dir)
    weights = {params.backbone: Weights(params.backbone, "none", None)}
    return TrialJob(config, dataset, {pixel_format: store}, weights, on_gpu=False)


def test_a_member_is_retrained_to_its_best_epoch_and_tested(
    sweep: SweepResult, caplog: pytest.LogCaptureFixture
) -> None:
    trial = max(read_trials(sweep.paths.journal), key=lambda each: len(each.reports))
    reports = (*trial.reports[:-1], replace(trial.reports[-1], val_accuracy=1.0))
    member = EnsembleMember(replace(trial, reports=reports), temperature=1000.0)
    job = job_of(sweep, trial.params)
    with caplog.at_level("INFO", logger="finesweep"):
        retrained = retrain_member(job, member, threads=1)
    epochs = retrain.last_round(job, member).epoch
    assert f"retraining trial {trial.trial_id}, epoch {epochs} of {epochs}" in caplog.text
    tests = len(job.dataset.rows("test"))
    assert retrained.probabilities.shape == (tests, 3)
    assert len(retrained.features) == tests
    assert retrained.probabilities == pytest.approx(1 / 3, abs=0.05), "the temperature is high"
    assert retrained.epochs == epochs > 1
    assert retrain_member(job, member, threads=1, seconds=0).epochs == 1


def test_a_retraining_that_diverges_in_its_last_step_hands_over_nothing(sweep: SweepResult) -> None:
    """The loss that it reports is of the step before."""
    trial = next(t for t in read_trials(sweep.paths.journal) if t.params.head == "trained")
    params = trial.params.model_copy(update={"learning_rate": 1e30, "batch_size": 1000})
    member = EnsembleMember(replace(trial, params=params, reports=trial.reports[:1]))
    with pytest.raises(RunError, match=rf"{trial.trial_id} diverged: the outputs were no longer"):
        retrain_member(job_of(sweep, params), member, threads=1)


def test_workers_that_retrain_together_make_a_model_that_is_tested(
    sweep: SweepResult,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "digits")))
    with caplog.at_level("INFO", logger="finesweep"):
        retrain_sweep(paths, changes={"retrain_workers": 2})
        assert "is retrained by 1 worker instead of 2" in caplog.text
        monkeypatch.setattr(retrain_team, "_MIN_STEPS", 1)
        caplog.clear()
        final = retrain_sweep(paths, changes={"retrain_workers": 2}).final
    assert "instead" not in caplog.text
    assert caplog.text.count("retraining trial") == FinalModel.read(paths).winner.epochs
    assert final == FinalModel.read(paths)


def test_the_best_linear_probe_is_tested_beside_the_final_model(
    settings: dict[str, Any],
    train_set: ImageSet,
    val_set: ImageSet,
    params: TrialParams,
    ray_cluster: None,
    tmp_path: Path,
) -> None:
    (tmp_path / "weights").mkdir()
    for backbone in ("test_efficientnet", "test_vit"):
        pretraining = FineTuning(
            params.model_copy(update={"backbone": backbone}),
            Weights(backbone, "none", None),
            num_classes=3,
            train=train_set,
            val=val_set,
            settings=FineTuneSettings(max_epochs=8),
        )
        list(finetune(pretraining))
        state = {n: t.contiguous() for n, t in pretraining.model.state_dict().items()}
        save_file(state, tmp_path / "weights" / f"{backbone}.safetensors")
    trained = {"backbone": "test_efficientnet", "unfreeze": 0.5}
    points = [{"head": "solved", "backbone": "test_vit"}, trained]
    (tmp_path / "points.json").write_text(json.dumps(points))
    config = {
        **settings,
        "trials": 2,
        "points": tmp_path / "points.json",
        "weights": str(tmp_path / "weights"),
        "results_dir": tmp_path,
        "name": "probed",
    }
    paths = Sweep(SweepConfig.parse(config)).run().paths
    probe, other = read_trials(paths.journal)
    assert (len(probe.reports), len(other.reports)) == (1, 3), "a probe is solved in one epoch"
    final = retrain_sweep(paths, trial=other.trial_id).final
    assert final is not None
    assert final.probe is not None
    assert final.probe.trial_id == probe.trial_id
    assert final.probe.accuracy > 0.6
    assert final.probe.comparison.images == sum(map(sum, final.test.confusion_matrix))
    assert str(final.probe) in (paths.export / "README.md").read_text()
    again = retrain_sweep(paths, trial=probe.trial_id).final
    assert again is not None
    assert again.probe is None
    assert again.test.accuracy == pytest.approx(final.probe.accuracy)
