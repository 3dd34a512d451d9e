import pickle
from pathlib import Path

import pytest

from search.record import read_trials
from search.trial import TrialRequest
from search.tuning.searcher import StudySearcher
from tests.support.simulated_tune import as_told, simulated_tune


def test_a_trial_has_rays_id_in_the_searcher_and_its_number_in_the_journal(tmp_path: Path) -> None:
    tune = simulated_tune(tmp_path, trials=2)
    searcher = StudySearcher(tune.lifecycle, "val_accuracy")
    first, second = (searcher.suggest(name) for name in ("ray a", "ray b"))
    assert isinstance(first, dict) and isinstance(second, dict)
    assert [TrialRequest.from_ray(config).number for config in (first, second)] == [0, 1]
    searcher.on_trial_result("ray b", as_told(1, 0.4))
    searcher.on_trial_complete("ray b", as_told(2, 0.6, is_last=True))
    searcher.on_trial_complete("ray a", None, error=True)
    by_number = {trial.number: trial for trial in read_trials(tmp_path / "study.journal")}
    assert by_number[1].status == "completed"
    assert by_number[0].status == "running", "the callback says what a failure comes to"


def test_a_disk_error_in_the_last_epoch_stays_the_only_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = simulated_tune(tmp_path)
    searcher = StudySearcher(tune.lifecycle, "val_accuracy")
    searcher.suggest("ray a")

    def full(*args: object, **given: object) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tune.journal, "report", full)
    with pytest.raises(OSError, match="No space left"):
        searcher.on_trial_complete("ray a", as_told(1, 0.5, is_last=True))
    searcher.on_trial_complete("ray a", None, error=True)  # as Ray does then
    assert tune.lifecycle.disk_error is not None


def test_ray_can_pickle_the_searcher_without_the_state_of_its_lifecycle(tmp_path: Path) -> None:
    searcher = StudySearcher(simulated_tune(tmp_path).lifecycle, "val_loss")
    again = pickle.loads(pickle.dumps(searcher))
    assert (again.metric, again.mode) == ("val_loss", "min")
    assert vars(again._lifecycle) == {}
