import json
import platform
from pathlib import Path

import pytest

from search.record import Mirror, SweepPaths, download_sweep, lease
from search.record.lease import Lease
from search.record.stored_folder import StoredFolder
from spaces import ConfigError


@pytest.fixture
def store(tmp_path: Path) -> StoredFolder:
    return StoredFolder(f"file://{tmp_path}/store", "photos")


def test_a_process_that_holds_no_lease_can_take_it_and_give_it_up(store: StoredFolder) -> None:
    own = Lease(store)
    own.check()
    own.renew()
    own.check()
    assert not own.was_taken_over
    own.release()
    assert store.names() == []


def test_a_lease_is_renewed_only_if_it_is_old_enough(
    store: StoredFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, times = Lease(store), iter([100.0, 100.0, 109.0, 111.0, 111.0])
    monkeypatch.setattr(lease.time, "monotonic", lambda: next(times))
    own.renew()
    own.release()
    own.renew(after_seconds=10.0)
    assert store.names() == []
    own.renew(after_seconds=10.0)
    assert store.names() == [lease.LEASE]


def test_the_lease_of_a_process_of_this_machine_that_has_died_is_free(store: StoredFolder) -> None:
    holder = {"token": "another", "host": platform.node(), "pid": 2**22 + 1}
    store.write(lease.LEASE, json.dumps(holder).encode())
    Lease(store).check()
    assert Lease(store).was_taken_over
    store.write(lease.LEASE, json.dumps({**holder, "host": "there"}).encode())
    with pytest.raises(ConfigError, match=r"at file:.*/store/photos is being run: its driver"):
        Lease(store).check()


def test_one_driver_at_a_time_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, uri = SweepPaths(tmp_path / "here" / "photos"), f"file://{tmp_path}/store"
    paths.root.mkdir(parents=True)
    paths.config.write_text("{}")
    paths.journal.write_bytes(b"one\n")
    first = Mirror(paths, uri)
    first.upload()
    monkeypatch.setattr(lease, "_TOKEN", "another process")
    for take_over in (Mirror(paths, uri).check, lambda: download_sweep(f"{uri}/photos", tmp_path)):
        with pytest.raises(ConfigError, match=r"its driver renewed its lease \d+ s ago"):
            take_over()
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    back, _ = download_sweep(f"{uri}/photos", tmp_path / "there")
    assert back.journal.exists()
    monkeypatch.setattr(lease, "LEASE_SECONDS", 60.0)
    monkeypatch.setattr(lease, "_TOKEN", "the first one, which is late")
    with pytest.raises(ConfigError, match=r"its driver renewed its lease \d+ s ago"), first:
        pass
