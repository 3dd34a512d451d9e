import pandas as pd
import pytest
import torch

from search import SweepResult
from search.final.retrain import retrain_member
from search.final.selection import EnsembleMember
from search.record import FinalModel, SweepPaths, load_sweep_config, read_trials
from search.trial import TrialJob
from trainables.data import Dataset, build_store, read_surveyed_image
from trainables.inference import ModelSpec
from trainables.models import Preprocessing, Weights

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


def test_a_member_is_retrained_to_its_best_epoch_and_tested(
    sweep: SweepResult, caplog: pytest.LogCaptureFixture
) -> None:
    paths = sweep.paths
    config, dataset = load_sweep_config(paths), Dataset.read(paths.dataset, paths.split)
    member = EnsembleMember(read_trials(paths.journal)[0], temperature=1000.0)
    params = member.trial.params
    pixel_format = Preprocessing.of(params.backbone).pixel_format(params.image_size)
    store = build_store(dataset, pixel_format, cache=config.cache_dir)
    weights = {params.backbone: Weights(params.backbone, "none", None)}
    job = TrialJob(config, dataset, {pixel_format: store}, weights, on_gpu=False)
    with caplog.at_level("INFO", logger="finesweep"):
        retrained = retrain_member(job, member, threads=1)
    epochs = member.best(config.metric).epoch
    assert f"retraining trial 0000, epoch {epochs} of {epochs}" in caplog.text
    tests = len(dataset.rows("test"))
    assert retrained.probabilities.shape == (tests, 3)
    assert len(retrained.features) == tests
    assert retrained.probabilities == pytest.approx(1 / 3, abs=0.05), "the temperature is high"
