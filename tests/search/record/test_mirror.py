import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.record import Mirror, SweepPaths, download_sweep, lease, mirror, read_trials
from search.record.stored_folder import StoredFolder
from spaces import ConfigError
from tests.support.command_line import finesweep, flags
from tests.support.object_store import below, put
from trainables.files import write_atomically

LAUNCH_WITH_QUICK_UPLOADS = """
import sys
from search.cli import parser as cli
from search.record import mirror
mirror.UPLOAD_INTERVAL_SECONDS = 0.2
cli.main(sys.argv[1:])
"""


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    """A small sweep's folder: settings, a journal and one checkpoint."""
    made = SweepPaths(tmp_path / "here" / "photos")
    made.checkpoints.mkdir(parents=True)
    made.config.write_text("{}")
    made.journal.write_bytes(b"one\ntwo\n")
    (made.checkpoints / "0000.pt").write_bytes(b"state")
    return made


def test_a_downloaded_sweep_is_what_was_uploaded_last(
    bucket: str, paths: SweepPaths, tmp_path: Path
) -> None:
    paths.ray.mkdir()
    (paths.ray / "tuner.pkl").write_bytes(b"Tune's own")
    (paths.root / "x.json.partial").write_bytes(b"half")
    copy = Mirror(paths, bucket)
    copy.check()
    copy.upload()
    (paths.checkpoints / "0000.pt").unlink()
    paths.journal.write_bytes(b"one\ntwo\nthree\n")
    copy.upload()
    back, storage_path = download_sweep(below(bucket, "photos"), tmp_path / "there")
    assert storage_path == bucket
    assert back.root == tmp_path / "there" / "photos"
    assert back.journal.read_bytes() == b"one\ntwo\nthree\n"
    assert sorted(f.name for f in back.root.rglob("*") if f.is_file()) == [
        "study.journal",
        "sweep.json",
    ]
    with pytest.raises(ConfigError, match="photos exists: run 'finesweep resume"):
        download_sweep(below(bucket, "photos"), tmp_path / "there")


def test_the_journal_is_uploaded_first_and_the_settings_last(
    paths: SweepPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, order = Mirror(paths, f"file://{tmp_path}/store"), []
    paths.log.touch()
    write = StoredFolder.write

    def noted(self: StoredFolder, name: str, content: bytes) -> None:
        order.append(name)
        write(self, name, content)

    monkeypatch.setattr(StoredFolder, "write", noted)
    copy.upload()
    assert order[:2] == ["driver.sign", "study.journal"]
    assert sorted(order[2:-1]) == ["checkpoints/0000.pt", "sweep.log"]
    assert order[-1] == "sweep.json"
    order.clear()
    copy.upload()
    assert order == ["driver.sign"], "nothing has changed"


def test_a_checkpoint_is_uploaded_only_after_the_journal_has_its_epoch(
    paths: SweepPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial may go on while files are uploaded."""
    copy, write = Mirror(paths, f"file://{tmp_path}/store"), StoredFolder.write
    state = paths.checkpoints / "0000.pt"

    def slow(self: StoredFolder, name: str, content: bytes) -> None:
        write(self, name, content)
        if name == "study.journal":
            paths.journal.write_bytes(b"one\ntwo\nthree\n")
            write_atomically(state, lambda partial: partial.write_bytes(b"state of three"))

    monkeypatch.setattr(StoredFolder, "write", slow)
    copy.upload()
    store = tmp_path / "store" / "photos"
    assert (store / "study.journal").read_bytes() == b"one\ntwo\n"
    assert (store / "checkpoints" / "0000.pt").read_bytes() == b"state"
    copy.upload()
    assert (store / "checkpoints" / "0000.pt").read_bytes() == b"state of three"


def test_a_missing_bucket_is_an_error_before_anything_runs(bucket: str, paths: SweepPaths) -> None:
    wrong = bucket.replace("s3://", "s3://no-such-")
    with pytest.raises(ConfigError, match=r"storage_path of s3://no-such-.* can't be used \("):
        Mirror(paths, wrong).check()
    with pytest.raises(ConfigError, match="must be an address such as s3://BUCKET/PREFIX"):
        Mirror(paths, "bucket/prefix")
    with pytest.raises(ConfigError, match="There is no sweep at s3://"):
        download_sweep(below(bucket, "photos"), paths.root.parent)


def test_a_store_that_fails_for_a_while_does_not_stop_the_sweep(
    paths: SweepPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="finesweep")
    monkeypatch.setattr(mirror, "UPLOAD_INTERVAL_SECONDS", 0.05)
    store = tmp_path / "store"
    store.write_text("a file where the folder should be")
    with Mirror(paths, f"file://{store}"):
        until = time.monotonic() + 20
        while not caplog.records and time.monotonic() < until:
            time.sleep(0.02)
        store.unlink()
    (record,) = caplog.records
    assert "nothing is copied to file://" in record.getMessage()
    assert (store / "photos" / "study.journal").read_bytes() == b"one\ntwo\n"


def test_a_mirror_with_a_longer_journal_is_not_overwritten(
    paths: SweepPaths, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path}/store"
    Mirror(paths, uri).upload()
    Mirror(paths, uri).check()
    with (tmp_path / "store" / "photos" / "study.journal").open("ab") as far:
        far.write(b"three\nhalf a li")
    for refused in (Mirror(paths, uri).check, Mirror(paths, uri).__enter__):
        with pytest.raises(ConfigError, match=r"its study\.journal has lines that the folder"):
            refused()
    paths.journal.write_bytes(b"one\ntwo\nthree\nfour\n")
    Mirror(paths, uri).check()


def test_a_folder_older_than_its_mirror_removes_nothing_there(
    paths: SweepPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, far = f"file://{tmp_path}/store", tmp_path / "store" / "photos"
    with Mirror(paths, uri):
        pass
    monkeypatch.setattr(lease, "_TOKEN", "another machine")
    there, _ = download_sweep(f"{uri}/photos", tmp_path / "there")
    with Mirror(there, uri):
        there.metrics.parent.mkdir()
        there.metrics.write_text("{}")
    assert (far / "retrained" / "metrics.json").exists()
    monkeypatch.setattr(lease, "_TOKEN", "the first machine again")
    with (
        pytest.raises(ConfigError, match=r"its mirrored_by\.txt has lines that the folder"),
        Mirror(paths, uri),
    ):
        pass
    assert (far / "retrained" / "metrics.json").exists()
    assert len((far / "mirrored_by.txt").read_text().splitlines()) == 2


def test_a_folder_that_proves_older_when_its_store_answers_again_removes_nothing_there(
    paths: SweepPaths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    with Mirror(paths, f"file://{store}"):
        pass
    store.rename(tmp_path / "away")
    store.write_text("a file where the folder should be")
    with (
        caplog.at_level(logging.WARNING, logger="finesweep"),
        Mirror(paths, f"file://{store}"),
    ):
        store.unlink()
        (tmp_path / "away").rename(store)
        (store / "photos" / "README.md").write_text("of another machine")
        with (store / "photos" / "mirrored_by.txt").open("a") as lines:
            lines.write("another machine\n")
    assert "was continued elsewhere" in caplog.text
    assert (store / "photos" / "README.md").exists()


def test_files_of_a_deleted_folder_stay_in_the_mirror(paths: SweepPaths, tmp_path: Path) -> None:
    copy = Mirror(paths, f"file://{tmp_path}/store")
    copy.upload()
    paths.root.rename(tmp_path / "gone")
    for again in (lambda: None, paths.checkpoints.mkdir, (paths.checkpoints / "0001.pt").touch):
        paths.root.mkdir(exist_ok=True)
        again()
        with pytest.raises(FileNotFoundError, match="has lost its journal or its settings"):
            copy.upload()
    assert (tmp_path / "store" / "photos" / "checkpoints" / "0000.pt").exists()


def test_a_deleted_file_that_an_earlier_process_uploaded_is_deleted(
    paths: SweepPaths, tmp_path: Path
) -> None:
    uri, card = f"file://{tmp_path}/store", tmp_path / "store" / "photos" / "export" / "README.md"
    paths.model_card.parent.mkdir()
    paths.model_card.touch()
    with Mirror(paths, uri):
        pass
    assert card.exists()
    paths.model_card.unlink()
    with Mirror(paths, uri):
        pass
    assert not card.exists()


def test_a_driver_that_slept_while_another_took_over_uploads_nothing_more(
    paths: SweepPaths, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    far = tmp_path / "store" / "photos"
    with (
        caplog.at_level(logging.WARNING, logger="finesweep"),
        Mirror(paths, f"file://{tmp_path}/store") as slept,
    ):
        slept.upload()
        (far / "driver.sign").write_text('{"token": "another", "host": "there", "pid": 1}')
        paths.journal.write_bytes(b"one\ntwo\nof the one that slept\n")
    assert (far / "study.journal").read_bytes() == b"one\ntwo\n"
    assert "another driver has taken over the lease" in caplog.text


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/mnt/copies", "must be an address such as s3://BUCKET/PREFIX, not '/mnt/copies'"),
        ("s3://KEY:SECRET@bucket/sweeps", "must hold no secrets"),
        ("nothing://bucket", "must be an address such as s3://BUCKET/PREFIX"),
    ],
)
def test_an_invalid_address_is_an_error(address: str, sentence: str, paths: SweepPaths) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Mirror(paths, address)


def test_the_results_folder_cannot_be_its_own_mirror(paths: SweepPaths) -> None:
    with pytest.raises(ConfigError, match="is results_dir itself"):
        Mirror(paths, f"file://{paths.root.parent}")


@pytest.mark.slow
def test_a_sweep_is_resumed_from_its_bucket_alone(
    bucket: str,
    settings: dict[str, Any],
    digits: Path,
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The images lie in the bucket too: another machine needs nothing else."""
    put(digits, below(bucket, "digits"))
    here, there = tmp_path / "here", tmp_path / "there"
    given = {**settings, "name": "lost", "results_dir": here, "storage_path": bucket}
    given |= {"trials": 4, "max_epochs": 8, "stopping": "none"}
    words = [
        sys.executable,
        "-c",
        LAUNCH_WITH_QUICK_UPLOADS,
        "launch",
        below(bucket, "digits"),
        *flags(given),
    ]
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(words, stdout=quiet, stderr=quiet)
    journal = SweepPaths(here / "lost").journal
    until = time.monotonic() + 300
    while not any(t.status == "completed" for t in read_trials(journal)):
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    time.sleep(2)
    running.kill()
    running.communicate()
    here.rename(tmp_path / "a disk that died")
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    elsewhere = ["--results-dir", there, "--cache-dir", there / "cache"]
    assert finesweep("resume", below(bucket, "lost"), *elsewhere) == 0
    paths = SweepPaths(there / "lost")
    trials = read_trials(paths.journal)
    assert [t.status for t in trials] == ["completed"] * 4
    assert all([r.epoch for r in t.reports] == list(range(1, 9)) for t in trials)
    assert "resumed: " in paths.log.read_text()
    copy = StoredFolder(bucket, "lost").names()
    assert {"export/README.md", "leaderboard.md", "study.journal"} <= set(copy)
    assert not {"driver.sign", "driver.json"} & set(copy)
