import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.record import Storage, SweepPaths, bring_sweep, read_trials
from search.record import mirror as storage
from spaces import ConfigError
from tests.support.command_line import finesweep, flags
from tests.support.object_store import below, put
from trainables.files import write_whole

QUICKLY = """
import sys
from search.cli import parser as cli
from search.record import mirror as storage
storage.EVERY_SECONDS = 0.2
cli.main(sys.argv[1:])
"""


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    """A sweep's folder, small."""
    made = SweepPaths(tmp_path / "here" / "photos")
    made.checkpoints.mkdir(parents=True)
    made.config.write_text("{}")
    made.journal.write_bytes(b"one\ntwo\n")
    (made.checkpoints / "0000.pt").write_bytes(b"state")
    return made


def test_a_sweep_comes_back_from_a_bucket_as_it_was(
    bucket: str, paths: SweepPaths, tmp_path: Path
) -> None:
    paths.ray.mkdir()
    (paths.ray / "tuner.pkl").write_bytes(b"Tune's own")
    (paths.root / "x.json.partial").write_bytes(b"half")
    kept = Storage(paths, bucket)
    kept.check()
    kept.push()
    (paths.checkpoints / "0000.pt").unlink()
    paths.journal.write_bytes(b"one\ntwo\nthree\n")
    kept.push()
    back, storage_path = bring_sweep(below(bucket, "photos"), tmp_path / "there")
    assert storage_path == bucket
    assert back.root == tmp_path / "there" / "photos"
    assert back.journal.read_bytes() == b"one\ntwo\nthree\n"
    assert sorted(f.name for f in back.root.rglob("*") if f.is_file()) == [
        "study.journal",
        "sweep.json",
    ]
    with pytest.raises(ConfigError, match="photos exists: go on with it by 'finesweep resume"):
        bring_sweep(below(bucket, "photos"), tmp_path / "there")


def test_the_journal_comes_first_and_the_settings_last(
    paths: SweepPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, order = Storage(paths, f"file://{tmp_path}/store"), []
    paths.log.touch()
    put = kept._put
    monkeypatch.setattr(
        kept, "_put", lambda name, content: (order.append(name), put(name, content))
    )
    kept.push()
    assert order[:2] == ["driver.sign", "study.journal"]
    assert sorted(order[2:-1]) == ["checkpoints/0000.pt", "sweep.log"]
    assert order[-1] == "sweep.json"
    order.clear()
    kept.push()
    assert order == ["driver.sign"], "nothing has changed"


def test_no_state_is_copied_that_the_copied_journal_does_not_know(
    paths: SweepPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial goes on while its files are copied."""
    kept, put = Storage(paths, f"file://{tmp_path}/store"), Storage._put
    state = paths.checkpoints / "0000.pt"

    def slow(self: Storage, name: str, content: bytes) -> None:
        put(self, name, content)
        if name == "study.journal":
            paths.journal.write_bytes(b"one\ntwo\nthree\n")
            write_whole(state, lambda partial: partial.write_bytes(b"state of three"))

    monkeypatch.setattr(Storage, "_put", slow)
    kept.push()
    store = tmp_path / "store" / "photos"
    assert (store / "study.journal").read_bytes() == b"one\ntwo\n"
    assert (store / "checkpoints" / "0000.pt").read_bytes() == b"state"
    kept.push()
    assert (store / "checkpoints" / "0000.pt").read_bytes() == b"state of three"


def test_a_bucket_that_is_not_there_is_told_before_anything_runs(
    bucket: str, paths: SweepPaths
) -> None:
    wrong = bucket.replace("s3://", "s3://no-such-")
    with pytest.raises(ConfigError, match=r"storage_path of s3://no-such-.* can't be used \("):
        Storage(paths, wrong).check()
    with pytest.raises(ConfigError, match="must be an address such as s3://BUCKET/PREFIX"):
        Storage(paths, "bucket/prefix")
    with pytest.raises(ConfigError, match="There is no sweep at s3://"):
        bring_sweep(below(bucket, "photos"), paths.root.parent)


def test_a_store_that_fails_for_a_while_stops_no_sweep(
    paths: SweepPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="finesweep")
    monkeypatch.setattr(storage, "EVERY_SECONDS", 0.05)
    store = tmp_path / "store"
    store.write_text("a file where the folder should be")
    with Storage(paths, f"file://{store}"):
        until = time.monotonic() + 20
        while not caplog.records and time.monotonic() < until:
            time.sleep(0.02)
        store.unlink()
    (record,) = caplog.records
    assert "nothing is copied to file://" in record.getMessage()
    assert (store / "photos" / "study.journal").read_bytes() == b"one\ntwo\n"


def test_a_copy_that_went_further_elsewhere_is_not_written_over(
    paths: SweepPaths, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path}/store"
    Storage(paths, uri).push()
    Storage(paths, uri).check()
    with (tmp_path / "store" / "photos" / "study.journal").open("ab") as far:
        far.write(b"three\nhalf a li")
    with pytest.raises(ConfigError, match="has another or a longer record than"):
        Storage(paths, uri).check()
    paths.journal.write_bytes(b"one\ntwo\nthree\nfour\n")
    Storage(paths, uri).check()


def test_a_folder_that_goes_takes_nothing_from_its_copy(paths: SweepPaths, tmp_path: Path) -> None:
    kept = Storage(paths, f"file://{tmp_path}/store")
    kept.push()
    paths.root.rename(tmp_path / "gone")
    for again in (lambda: None, paths.checkpoints.mkdir, (paths.checkpoints / "0001.pt").touch):
        paths.root.mkdir(exist_ok=True)
        again()
        with pytest.raises(FileNotFoundError, match="is no longer whole"):
            kept.push()
    assert (tmp_path / "store" / "photos" / "checkpoints" / "0000.pt").exists()


def test_what_an_earlier_process_copied_goes_when_it_is_gone(
    paths: SweepPaths, tmp_path: Path
) -> None:
    uri, card = f"file://{tmp_path}/store", tmp_path / "store" / "photos" / "export" / "README.md"
    paths.card.parent.mkdir()
    paths.card.touch()
    with Storage(paths, uri):
        pass
    assert card.exists()
    paths.card.unlink()
    with Storage(paths, uri):
        pass
    assert not card.exists()


def test_one_driver_at_a_time_keeps_a_copy_up(
    paths: SweepPaths,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, logger="finesweep")
    uri = f"file://{tmp_path}/store"
    first = Storage(paths, uri)
    first.push()
    monkeypatch.setattr(storage, "_TOKEN", "another process")
    for take_over in (Storage(paths, uri).check, lambda: bring_sweep(f"{uri}/photos", tmp_path)):
        with pytest.raises(ConfigError, match=r"is being run: its driver was there \d+ s ago"):
            take_over()
    monkeypatch.setattr(storage, "GONE_SECONDS", 0.0)
    back, _ = bring_sweep(f"{uri}/photos", tmp_path / "there")
    assert back.journal.exists()
    monkeypatch.setattr(storage, "GONE_SECONDS", 60.0)
    monkeypatch.setattr(storage, "_TOKEN", "the first one, which slept")
    paths.journal.write_bytes(b"one\ntwo\nof the first\n")
    with first:
        pass
    assert (tmp_path / "store" / "photos" / "study.journal").read_bytes() == b"one\ntwo\n"
    assert "another driver has taken it over" in caplog.text


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/mnt/copies", "must be an address such as s3://BUCKET/PREFIX, not '/mnt/copies'"),
        ("s3://KEY:SECRET@bucket/sweeps", "must hold no secrets"),
        ("nothing://bucket", "must be an address such as s3://BUCKET/PREFIX"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, sentence: str, paths: SweepPaths) -> None:
    with pytest.raises(ConfigError, match=sentence):
        Storage(paths, address)


def test_a_folder_is_no_copy_of_itself(paths: SweepPaths) -> None:
    with pytest.raises(ConfigError, match="is results_dir itself"):
        Storage(paths, f"file://{paths.root.parent}")


@pytest.mark.slow
def test_a_sweep_goes_on_where_only_its_bucket_is_left(
    bucket: str,
    settings: dict[str, Any],
    digits: Path,
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the images: another machine needs nothing else."""
    put(digits, below(bucket, "digits"))
    here, there = tmp_path / "here", tmp_path / "there"
    given = {**settings, "name": "lost", "results_dir": here, "storage_path": bucket}
    given |= {"trials": 4, "max_epochs": 8, "stopping": "none"}
    words = [sys.executable, "-c", QUICKLY, "launch", below(bucket, "digits"), *flags(given)]
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
    monkeypatch.setattr(storage, "GONE_SECONDS", 0.0)
    elsewhere = ["--results-dir", there, "--cache-dir", there / "cache"]
    assert finesweep("resume", below(bucket, "lost"), *elsewhere) == 0
    paths = SweepPaths(there / "lost")
    trials = read_trials(paths.journal)
    assert [t.status for t in trials] == ["completed"] * 4
    assert all([r.epoch for r in t.reports] == list(range(1, 9)) for t in trials)
    assert "resumed: " in paths.log.read_text()
    kept = Storage(paths, bucket)._listed()
    assert {"export/README.md", "leaderboard.md", "study.journal"} <= set(kept)
    assert not {"driver.sign", "driver.json"} & set(kept)
