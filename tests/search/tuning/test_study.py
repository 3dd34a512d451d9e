import re
from dataclasses import replace
from pathlib import Path

import optuna

from search.record import read_trials
from search.samplers.learning_curves import LearningCurves
from search.tuning.study import StudyJournal
from spaces import TrialParams
from tests.support.round_reports import report
from tests.support.simulated_tune import SPACE, run, simulated_tune


def opened(folder: Path) -> StudyJournal:
    """The journal of a sweep in ``folder``."""
    return StudyJournal.open(
        folder / "study.journal",
        SPACE,
        metric="val_accuracy",
        sampler="tpe",
        seed=0,
        max_rounds=9,
    )


def test_an_epoch_reported_twice_is_recorded_once(tmp_path: Path) -> None:
    study = opened(tmp_path)
    number, _ = study.ask()
    study.begin(number, TrialParams(backbone="a"))
    study.report(number, report(1, 0.5))
    study.report(number, replace(report(1, 0.5), seconds=9))
    assert [r.seconds for r in read_trials(tmp_path / "study.journal")[0].reports] == [2.0]


def test_a_truncated_journal_is_repaired(tmp_path: Path) -> None:
    search = simulated_tune(tmp_path)
    run(search, "x", 0.5, 0.9)
    search.suggest("y")
    file = tmp_path / "study.journal"
    whole = file.read_bytes()
    search.result("y", 1, 0.4)
    for length in range(len(whole), file.stat().st_size, 50):
        cut = file.read_bytes()[:length]
        other = tmp_path / "cut"
        other.mkdir(exist_ok=True)
        (other / file.name).write_bytes(cut)
        again = simulated_tune(other)
        again.resume(1)
        again.suggest("y")
        again.complete("y", 1, 0.4, is_last=True)
        trials = read_trials(other / file.name)
        assert [t.status for t in trials] == ["completed", "completed"]
        assert trials[1].reports[0].val_accuracy == 0.4
        study = optuna.load_study(study_name="finesweep", storage=again.journal._storage)
        assert study.trials[1].intermediate_values == {1: 0.4}


def test_a_trial_without_parameters_is_not_counted(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.ask()
    search = simulated_tune(tmp_path, trials=1)
    assert search.begin("x").number == 1
    search.complete("x", 1, 0.5, is_last=True)
    assert search.suggest("over") == "FINISHED"
    assert [t.number for t in read_trials(tmp_path / "study.journal")] == [1]
    curves = LearningCurves()
    curves.update(optuna.load_study(study_name="finesweep", storage=search.journal._storage))
    assert [curve.rounds for curve in curves.finished] == [[1]], "it is not taken for a bad one"


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path) -> None:
    first = simulated_tune(tmp_path, trials=3)
    run(first, "x", 0.5, 0.9)
    first.suggest("y")
    file = tmp_path / "study.journal"
    file.write_text(re.sub(r"(\"datetime_\w+\": \")\d{4}", r"\g<1>2099", file.read_text()))
    again = simulated_tune(tmp_path, trials=3)
    again.resume(1)
    assert again.begin("y").number == 1
    again.complete("y", 1, 0.6, is_last=True)
    assert again.begin("z").number == 2
    assert [trial.status for trial in read_trials(file)] == ["completed", "completed", "running"]


def test_a_budget_that_ended_a_search_is_remembered(tmp_path: Path) -> None:
    search = simulated_tune(tmp_path, trials=9, settings={"target": 0.8})
    run(search, "x", 0.9)
    search.journal.ended_by = search.lifecycle.ended_by
    again = opened(tmp_path)
    assert again.ended_by == "a trial reached the target, val_accuracy 0.8"
    again.ended_by = None
    assert again.ended_by is None
