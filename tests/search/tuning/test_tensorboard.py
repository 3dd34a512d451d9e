import io
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from search import SweepResult
from search.record import read_trials
from spaces import TrialParams

pytestmark = pytest.mark.slow


def events(folder: Path) -> EventAccumulator:
    read = EventAccumulator(str(folder))
    read.Reload()
    return read


def test_every_trial_has_its_curves_and_the_parameters_that_it_uses(sweep: SweepResult) -> None:
    folders = {p.name.partition("-")[0]: p for p in sweep.paths.tensorboard.iterdir() if p.is_dir()}
    for trial in read_trials(sweep.paths.journal):
        read = events(folders[trial.trial_id])
        curve = {e.step: e.value for e in read.Scalars("val_accuracy")}
        assert curve == pytest.approx({r.epoch: r.val_accuracy for r in trial.reports})
        best = [e.value for e in read.Scalars("best/val_accuracy")]
        assert best == sorted(best)
        assert best[-1] == pytest.approx(max(r.val_accuracy for r in trial.reports))
        content = read.PluginTagToContent(metadata.PLUGIN_NAME)
        start = metadata.parse_session_start_info_plugin_data(
            content[metadata.SESSION_START_INFO_TAG]
        )
        assert start.group_name == f"digits/{trial.trial_id}", "one row, also beside other sweeps"
        assert set(start.hparams) == set(TrialParams.model_fields) - trial.unused
        end = metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
        assert end.status == 1  # success


def test_the_hparams_columns_are_written_once(sweep: SweepResult) -> None:
    content = events(sweep.paths.tensorboard).PluginTagToContent(metadata.PLUGIN_NAME)
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name for info in experiment.hparam_infos] == list(TrialParams.model_fields)
    assert "best/val_accuracy" in [info.name.tag for info in experiment.metric_infos]
    for folder in sweep.paths.tensorboard.iterdir():
        if folder.is_dir():
            tags = events(folder).PluginTagToContent(metadata.PLUGIN_NAME)
            assert metadata.EXPERIMENT_TAG not in tags


def test_the_best_trials_have_figures_of_their_validation_predictions(sweep: SweepResult) -> None:
    best = sweep.trials.iloc[0]
    run = sweep.paths.tensorboard_run(best["trial_id"], best["params.backbone"])
    (picture,) = events(run).Images("validation/confusion")
    assert picture.step == best["best_epoch"]
    drawn = Image.open(io.BytesIO(picture.encoded_image_string))
    assert min(drawn.size) > 200
    wrong = [p for p in sweep.paths.tensorboard.iterdir() if p.is_dir()]
    tags = [events(folder).Tags()["images"] for folder in wrong]
    assert sum("validation/confusion" in each for each in tags) == 3
    assert any("validation/mistakes" in each for each in tags)
