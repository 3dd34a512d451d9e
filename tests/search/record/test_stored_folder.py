from datetime import UTC, datetime, timedelta

import pytest

from search.record.stored_folder import StoredFolder
from spaces import ConfigError
from tests.support.object_store import below


def test_objects_are_written_listed_read_and_deleted(bucket: str) -> None:
    folder = StoredFolder(bucket, "photos")
    assert folder.names() == []
    assert folder.read("a/b.txt") is None
    folder.write("a/b.txt", b"one")
    folder.write("a/b.txt", b"two")
    folder.write("c.txt", b"")
    assert (sorted(folder.names()), folder.read("a/b.txt")) == (["a/b.txt", "c.txt"], b"two")
    assert datetime.now(UTC) - folder.changed_at("c.txt") < timedelta(minutes=1)
    for _ in range(2):
        folder.delete("c.txt")
    assert folder.names() == ["a/b.txt"]


def test_its_address_keeps_the_options_of_the_store(bucket: str) -> None:
    folder = StoredFolder(bucket, "photos")
    assert folder.uri == below(bucket, "photos")
    assert folder.local_path is None


def test_an_address_without_a_store_is_an_error() -> None:
    with pytest.raises(ConfigError, match="storage_path must be an address such as s3://"):
        StoredFolder("bucket/prefix", "photos")
