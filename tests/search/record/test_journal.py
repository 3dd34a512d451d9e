from pathlib import Path

import optuna
import pytest

from search.record import Repeat, read_trials
from search.tuning.study import StudyJournal
from spaces import SearchSpace, TrialParams
from tests.support.round_reports import report
from tests.support.simulated_tune import write_journal


def open_journal(file: Path) -> StudyJournal:
    """The journal of a sweep over a space in which every field is fixed."""
    space = SearchSpace.from_table({"backbone": {"value": "a"}}, name="fixed")
    return StudyJournal.open(
        file, space, metric="val_accuracy", sampler="random", seed=0, max_rounds=20_000
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a sweep with a trial of every status."""
    return write_journal(tmp_path)


def test_the_journal_knows_every_trial_and_epoch(journal: Path) -> None:
    trials = read_trials(journal)
    assert [t.status for t in trials] == ["completed", "stopped", "failed", "failed", "running"]
    assert [len(t.reports) for t in trials] == [3, 1, 2, 0, 1]
    assert trials[0].reports[1] == report(2, 0.9)
    assert trials[0].seconds == 6.0


def test_optunas_own_storage_shows_the_trials_states_and_values(journal: Path) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    trials = optuna.load_study(study_name="finesweep", storage=storage).trials
    assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "RUNNING"]
    assert trials[0].value == 0.9
    assert trials[0].intermediate_values == {1: 0.5, 2: 0.9, 3: 0.7}
    assert trials[1].intermediate_values == {1: 0.6}
    assert trials[2].intermediate_values == {1: 0.95}


def test_a_failed_trial_says_why(journal: Path) -> None:
    errors = [t.error for t in read_trials(journal)]
    assert errors[2] == "the loss was no longer finite in epoch 2"
    assert errors[3] == f"ValueError: boom; see {journal.parent / 'failures' / '0003.txt'}"
    assert (journal.parent / "failures" / "0003.txt").read_text().count("Traceback") == 2


def test_rounds_are_in_order_beyond_four_digits(tmp_path: Path) -> None:
    file = tmp_path / "study.journal"
    journal = open_journal(file)
    number = journal.ask_at({})
    journal.begin(number, TrialParams(backbone="a"))
    for done in (9_998, 9_999, 10_000, 10_001):
        journal.report(number, report(done, 0.5))
    assert [r.round for r in read_trials(file)[0].reports] == [9_998, 9_999, 10_000, 10_001]


def test_a_repeat_of_an_earlier_version_counts_epochs(tmp_path: Path) -> None:
    file = tmp_path / "study.journal"
    journal = open_journal(file)
    number = journal.ask_at({})
    journal.begin(number, TrialParams(backbone="a"), Repeat(0, 1, 7))
    file.write_text(file.read_text().replace('"rounds": 7', '"epochs": 7'))
    assert read_trials(file)[0].repeat == Repeat(0, 1, 7)
