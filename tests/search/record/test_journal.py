from pathlib import Path

import optuna
import pytest

from search.record import read_trials
from tests.support.epoch_reports import report
from tests.support.simulated_tune import write_journal


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
