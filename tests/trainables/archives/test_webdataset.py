import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from spaces import DataError
from tests.support.archives import image_bytes, write_shard, write_tar
from trainables.archives.shards import read_shards
from trainables.archives.webdataset import has_samples, read_webdataset
from trainables.listing import Listing, ReadOptions

LABELS = {"a": "0", "b": "1", "c": "1"}


def listing(root: Path, **options: Any) -> Listing:
    asked = ReadOptions(**options)
    return read_webdataset(read_shards(root, asked.ignore), asked)


def counts(found: Listing) -> Counter[tuple[str | None, str]]:
    return Counter((row.split, row.label) for row in found.rows)


def test_a_row_is_the_path_of_an_image_in_its_archive(tmp_path: Path) -> None:
    write_shard(tmp_path / "x-00.tar", {"a": "cat", "deep/b": "dog"})
    found = listing(tmp_path)
    assert [(row.path, row.label, row.split) for row in found.rows] == [
        (tmp_path / "x-00.tar/a.png", "cat", None),
        (tmp_path / "x-00.tar/deep/b.png", "dog", None),
    ]
    assert found.root == tmp_path
    assert found.kind == "a WebDataset in 1 tar archive (images: png, labels: cls)"


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-000000.tar", "test-000000.tar"),
        ("cifar10-train-000000.tar", "cifar10-test-000000.tar"),
        ("train/0.tar", "test/0.tar"),
        ("training/x-00.tar", "testing/x-00.tar"),
        ("wds/train.tar", "wds/test.tar"),
    ],
)
def test_splits_are_in_the_names_of_archives_or_folders(
    tmp_path: Path, train: str, test: str
) -> None:
    write_shard(tmp_path / train, LABELS)
    write_shard(tmp_path / test, {"a": "0", "b": "1"})
    expected = {("train", "0"): 1, ("train", "1"): 2, ("test", "0"): 1, ("test", "1"): 1}
    assert counts(listing(tmp_path)) == expected


def test_an_archive_beside_splits_needs_an_answer(tmp_path: Path) -> None:
    for name in ("train-00", "val-00", "extra-00"):
        write_shard(tmp_path / f"{name}.tar", LABELS)
    with pytest.raises(DataError, match=r"also extra-00\.tar; .* --ignore 'extra-00\.tar'"):
        listing(tmp_path)
    assert len(listing(tmp_path, ignore=("extra-00.tar",)).rows) == 6


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classnames.txt", "cat\ndog\n"),
        ("dataset_info.json", json.dumps({"features": {"cls": {"names": ["cat", "dog"]}}})),
    ],
)
def test_numbers_of_classes_become_names(tmp_path: Path, name: str, content: str) -> None:
    write_shard(tmp_path / "0.tar", LABELS)
    (tmp_path / name).write_text(content)
    found = listing(tmp_path)
    assert counts(found) == {(None, "cat"): 1, (None, "dog"): 2}
    assert found.notes == (f"The numbers of the classes are replaced by their names in {name}.",)
    assert found.unused == ()
    assert counts(listing(tmp_path / "0.tar")) == counts(found)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_names_of_classes_are_read_in_any_usual_encoding(tmp_path: Path, encoding: str) -> None:
    write_shard(tmp_path / "0.tar", LABELS)
    (tmp_path / "classes.txt").write_bytes("K\u00e4tzchen\nHund\n".encode(encoding))
    assert {row.label for row in listing(tmp_path).rows} == {"K\u00e4tzchen", "Hund"}


def test_a_number_without_a_name_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", LABELS)
    (tmp_path / "classnames.txt").write_text("cat\n")
    with pytest.raises(DataError, match=r"classnames\.txt does not fit .*class 1 has no name amon"):
        listing(tmp_path)


def test_numbers_that_may_begin_at_1_are_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "0.tar", {"a": "1", "b": "2", "c": "2"})
    (tmp_path / "classnames.txt").write_text("cat\ndog\nfox\n")
    found = listing(tmp_path)
    assert counts(found) == {(None, "dog"): 1, (None, "fox"): 2}
    assert found.notes[0].endswith(
        "No image has the number 0, which is called 'cat' there; if your numbers begin at 1, add a "
        "line at the beginning of the file."
    )


def test_labels_and_groups_may_be_fields_of_json(tmp_path: Path) -> None:
    records = [{"label": 0, "patient": "p1", "w": 20}, {"label": 1, "patient": "p2", "w": 20}]
    contents: dict[str, bytes | str] = {}
    for number, record in enumerate(records):
        contents |= {f"{number}.jpg": image_bytes(number), f"{number}.json": json.dumps(record)}
    write_tar(tmp_path / "x.tar", contents)
    found = listing(tmp_path, group_column="patient")
    assert [(row.label, row.group) for row in found.rows] == [("0", "p1"), ("1", "p2")]
    with pytest.raises(
        DataError, match=r"--label-column does not fit .* the columns are label, pa"
    ):
        listing(tmp_path, label_column="colour")


def test_without_a_label_the_way_out_is_named(tmp_path: Path) -> None:
    contents = {"cat/1.jpg": b"", "cat/1.json": '{"w": 1}', "dog/2.jpg": b"", "dog/2.json": "{}"}
    write_tar(tmp_path / "x.tar", contents)
    with pytest.raises(DataError, match=r"the columns folder, w, jpg; .* name it with --label-col"):
        listing(tmp_path)
    assert [r.label for r in listing(tmp_path, label_column="folder").rows] == ["cat", "dog"]


def test_several_images_in_a_sample_need_an_answer(tmp_path: Path) -> None:
    contents = {"1.jpg": b"", "1.seg.png": b"", "1.cls": "0", "2.jpg": b"", "2.cls": "1"}
    write_tar(tmp_path / "x.tar", contents)
    with pytest.raises(DataError, match=r"may hold the images: jpg .*, seg.png.* --image-column"):
        listing(tmp_path)
    expected = ["x.tar/1.jpg", "x.tar/2.jpg"]
    for options in ({"image_column": "jpg"}, {"ignore": ("*.seg.png",)}):
        found = listing(tmp_path, **options)
        assert [str(row.path.relative_to(tmp_path)) for row in found.rows] == expected


def test_images_with_different_extensions_are_one_column(tmp_path: Path) -> None:
    write_tar(tmp_path / "x-00.tar", {"1.jpg": b"", "1.cls": "0", "2.png": b"", "2.cls": "1"})
    write_tar(tmp_path / "x-01.tar", {"3.jpg": b"", "3.cls": "0"})
    write_tar(tmp_path / "x-02.tar", {"notes.txt": b""})
    assert [row.path.name for row in listing(tmp_path).rows] == ["1.jpg", "2.png", "3.jpg"]


def test_archives_of_a_split_without_an_image_are_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00.tar", LABELS)
    write_tar(tmp_path / "val-00.tar", {"1.cls": "0"})
    with pytest.raises(DataError, match="has archives without an image; add images or remove"):
        listing(tmp_path)


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    contents = {"1.jpg": b"", "1.cls": "0", "1.npy": b"", "2.cls": "1", ".x": b""}
    write_tar(tmp_path / "x.tar", contents)
    (tmp_path / "nshards.txt").write_text("1")
    assert {str(unused) for unused in listing(tmp_path).unused} == {
        "files beside the archives: 1, such as nshards.txt",
        "hidden files: 1, such as x.tar/.x",
        "files that are not images: 1, such as x.tar/1.npy",
        "samples without an image: 1, such as x.tar/2",
    }


def test_a_missing_label_and_malformed_json_are_told(tmp_path: Path) -> None:
    write_tar(tmp_path / "x.tar", {"1.jpg": b"", "1.cls": "0", "2.jpg": b""})
    with pytest.raises(DataError, match="has 1 row without a label"):
        listing(tmp_path)
    write_tar(tmp_path / "x.tar", {"1.jpg": b"", "1.json": "{"})
    with pytest.raises(DataError, match=r"1\.json is no JSON .*; make its archive again"):
        listing(tmp_path)
    with pytest.raises(DataError, match="leave out --image-root"):
        listing(tmp_path, image_root=tmp_path)


def test_any_archive_with_a_label_beside_an_image_tells_that_there_are_samples(
    tmp_path: Path,
) -> None:
    write_tar(tmp_path / "0.tar", {"notes.txt": b""})
    write_tar(tmp_path / "1.tar", {"cat/1.jpg": b"", "cat/1.1.jpg": b""})
    assert not has_samples(read_shards(tmp_path))
    write_shard(tmp_path / "2.tar", LABELS)
    assert has_samples(read_shards(tmp_path))


def test_archives_of_test_images_without_labels_are_left_out_and_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-0.tar", LABELS)
    write_tar(tmp_path / "test-0.tar", {f"{k}.png": image_bytes(9 + k) for k in range(3)})
    shards = read_shards(tmp_path)
    assert shards.shards[0].path == "test-0.tar" and has_samples(shards)
    found = listing(tmp_path)
    assert counts(found) == {("train", "0"): 1, ("train", "1"): 2}
    assert [str(unused) for unused in found.unused] == [
        "test rows without a label: 3, such as test-0.tar/0.png"
    ]


def test_records_of_test_images_may_lack_the_label(tmp_path: Path) -> None:
    contents: dict[str, bytes | str] = {}
    for number, record in enumerate([{"label": "cat"}, {"label": "dog"}, {"label": "dog"}]):
        contents |= {f"{number}.jpg": b"", f"{number}.json": json.dumps(record)}
    write_tar(tmp_path / "train-0.tar", contents)
    for number, width in enumerate([20, 20, 30]):
        contents[f"{number}.json"] = json.dumps({"w": width})
    write_tar(tmp_path / "test-0.tar", contents)
    assert counts(listing(tmp_path)) == {("train", "cat"): 1, ("train", "dog"): 2}
