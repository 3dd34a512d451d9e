from pathlib import Path

import pytest

from tests.support.archives import write_tar
from trainables.archives.samples import Sample, sample_values, samples_of
from trainables.archives.shards import read_shards


def samples(archive: Path) -> list[Sample]:
    return samples_of(read_shards(archive).shards[0])


def test_files_that_share_a_key_are_one_sample(tmp_path: Path) -> None:
    names = ["a/1.jpg", "a/1.CLS", "a/1.seg.png", "2.json", "2.webp", "2.npy", "b.c/3.txt"]
    archive = write_tar(tmp_path / "x.tar", dict.fromkeys(names, b""))
    first, second, third = samples(archive)
    assert first == Sample("a/1", {"jpg": "a/1.jpg", "seg.png": "a/1.seg.png"}, {"cls": "a/1.CLS"})
    assert second == Sample("2", {"webp": "2.webp"}, {}, ["2.json"], ["2.npy"])
    assert third == Sample("b.c/3", {}, {"txt": "b.c/3.txt"})
    assert [s.has_labels for s in (first, second, third)] == [True, True, False]


def test_values_are_those_of_texts_and_fields(tmp_path: Path) -> None:
    record = '{"label": 3, "who": "p1", "box": [1, 2], "txt": "no"}'
    contents = {"a/1.jpg": b"", "a/1.cls": " cat\n", "2.json": record, "2.jpg": b"", "2.txt": "yes"}
    archive = write_tar(tmp_path / "x.tar", contents)
    assert list(sample_values(archive, samples(archive))) == [
        {"folder": "a", "cls": "cat"},
        {"label": 3, "who": "p1", "txt": "yes"},
    ]


def test_malformed_json_is_named(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"2.json": "{", "2.jpg": b""})
    with pytest.raises(ValueError, match=r"x\.tar/2\.json is no JSON"):
        list(sample_values(archive, samples(archive)))
