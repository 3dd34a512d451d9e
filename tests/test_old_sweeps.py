"""A sweep that an earlier version left is compared, reported, resumed and predicted from."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.record import (
    FinalModel,
    SweepPaths,
    load_sweep_config,
    read_trials,
    read_validation_logits,
)
from spaces import SearchSpace
from tests.support.command_line import finesweep
from tests.support.shapes import draw_shapes
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.inference import Predictor

LEFT = Path(__file__).parent / "fixtures" / "sweep_0_1"


@pytest.fixture
def old(tmp_path: Path) -> SweepPaths:
    """A copy of it, somewhere else than where it was made."""
    return SweepPaths(Path(shutil.copytree(LEFT, tmp_path / "results" / "shapes")))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(tmp_path_factory.mktemp("old") / "shapes")


def test_its_heads_began_at_zero(old: SweepPaths) -> None:
    assert {trial.params.head_start for trial in read_trials(old.journal)} == {"zero"}
    space = SearchSpace.load(str(old.space))
    assert space.params({}, native_image_size={"test_convnext": 32}).head_start == "zero"


def test_it_is_compared(old: SweepPaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert finesweep("compare", old.root, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["trial_id"] for row in rows] == ["0000", "0003", "0002", "0008", "0001"]
    assert rows[0]["confirmed_mean"] == pytest.approx(2 / 3)


def test_it_is_reported(old: SweepPaths, tmp_path: Path) -> None:
    assert finesweep("report", old.root, "--out", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "5 trials of 1 backbone have begun (1 running)" in page
    assert "has a test accuracy of 0.3333" in page


def test_its_logits_are_those_that_its_trials_answered(old: SweepPaths) -> None:
    config, trials = load_sweep_config(old), read_trials(old.journal)
    assert config.metric == "val_accuracy"
    dataset = Dataset.read(old.dataset, old.split)
    answers = read_validation_logits(
        old.validation_logits, trials, config.metric, dataset, dataset.rows("val")
    )
    assert set(answers) == {0, 1, 2, 3, 8}, "each has the accuracy that its trial reported"


def test_its_export_predicts_what_was_tested(old: SweepPaths, images: Path) -> None:
    dataset, final = Dataset.read(old.dataset, old.split), FinalModel.read(old)
    tested = Predictions.read(old.predictions, dataset.classes)
    assert tested.correct.mean() == final.test.accuracy
    files = [images / dataset.paths[row] for row in dataset.rows("test")]
    predictor = Predictor.load(old.export)
    assert list(predictor.spec.labels) == list(dataset.classes)
    assert np.allclose(predictor.probabilities(files), tested.probabilities, atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_it_is_resumed(old: SweepPaths, images: Path, tmp_path: Path) -> None:
    before = {trial.number: trial for trial in read_trials(old.journal)}
    assert before[8].status == "running"
    where = ["--data", images, "--cache-dir", tmp_path / "cache"]
    assert finesweep("resume", old.root, *where, "--trials", 7) == 0
    after = {trial.number: trial for trial in read_trials(old.journal)}
    assert len(pd.read_parquet(old.trials)) == 7
    assert after[8].reports[:1] == before[8].reports, "it goes on from its checkpoint"
    assert [report.epoch for report in after[8].reports] == [1, 2, 3, 4]
    for number in range(8):
        assert after[number] == before[number]
    assert json.loads(old.resolved.read_text())["metric"] == "val_accuracy"
    assert old.model_card.exists()
