import os
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.record import JournalFile
from search.tuning.study import StudyJournal
from spaces import SearchSpace
from tests.support.round_reports import report

SPACE = SearchSpace.load("demo")


def test_optunas_own_backend_reads_what_ours_writes(tmp_path: Path) -> None:
    ours = JournalStorage(JournalFile(tmp_path / "journal"))
    study = ours.create_new_study([1], "s")
    ours.set_trial_user_attr(ours.create_new_trial(study), "größe", [1, None])
    optunas = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    assert optunas.get_all_trials(study)[0].user_attrs == {"größe": [1, None]}


def test_an_incomplete_last_line_is_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    file.write_bytes(b'{"op_code":0}\n{"op_co')
    JournalFile(file).truncate_partial_line()
    assert file.read_bytes() == b'{"op_code":0}\n'


def test_each_event_of_a_trial_is_synced_to_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, synced, sync = tmp_path / "journal", [], os.fsync

    def recorded_sync(opened: int) -> None:
        sync(opened)
        synced.append(file.stat().st_size)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    journal = StudyJournal.open(
        file, SPACE, metric="val_accuracy", sampler="random", seed=0, max_rounds=9
    )
    number, values = journal.ask()
    journal.begin(number, SPACE.params(values, native_image_size={}))
    journal.report(number, report(1, 0.5))
    journal.end(number, "completed")
    assert len(synced) == 3
    assert synced == sorted(set(synced)) and synced[-1] == file.stat().st_size
