import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces import DataError
from tests.support.archives import pack, write_shard, write_tar
from tests.support.folders import lay_out
from tests.support.images import save_image
from tests.support.object_store import below, put
from trainables.data import (
    Dataset,
    build_store,
    check_source,
    read_source,
    read_surveyed_image,
    survey_images,
)
from trainables.images import PixelFormat
from trainables.listing import ReadOptions


@pytest.fixture
def shards(digits: Path, tmp_path: Path) -> Path:
    """The digits as a WebDataset of three archives, in the order of the folder."""
    root = tmp_path / "shards"
    for number, folder in enumerate(sorted(digits.iterdir())):
        contents: dict[str, bytes | str] = {}
        for file in sorted(folder.iterdir()):
            key = f"{folder.name}_{file.stem}"
            contents |= {f"{key}.png": file.read_bytes(), f"{key}.cls": folder.name}
        write_tar(root / f"digits-{number:06d}.tar", contents)
    return root


def assert_same_images(found: Dataset, expected: Dataset, cache: Path) -> None:
    """Equal labels, splits, units and pixels, row by row."""
    assert found.fingerprint == expected.fingerprint
    assert found.digests == expected.digests
    assert (found.labels == expected.labels).all() and (found.splits == expected.splits).all()
    assert found.classes == expected.classes
    form = PixelFormat(24, "bicubic")
    here, there = (
        build_store(d, form, cache=cache / name)
        for name, d in (("here", found), ("there", expected))
    )
    rows = np.arange(len(found))
    assert here.read(rows).equal(there.read(rows))


def test_a_webdataset_is_the_same_dataset_as_the_folder(
    shards: Path, digits: Path, dataset: Dataset, tmp_path: Path
) -> None:
    check_source(shards, cache=tmp_path)
    survey = survey_images(shards, cache=tmp_path)
    assert_same_images(survey.dataset, dataset, tmp_path)
    assert survey.dataset.paths[0].startswith("digits-000000.tar/")
    assert survey.notes == survey_images(digits, cache=tmp_path).notes
    image = read_surveyed_image(survey.dataset, 0, side=32)
    assert np.array_equal(image, Image.open(dataset.file(0)).convert("RGB"))


def test_folders_in_an_archive_are_read_as_folders(
    digits: Path, dataset: Dataset, tmp_path: Path
) -> None:
    survey = survey_images(pack(digits, tmp_path / "digits.tar"), cache=tmp_path)
    assert_same_images(survey.dataset, dataset, tmp_path)
    assert survey.kind == "a folder per class, in 1 tar archive"
    assert survey.dataset.paths == dataset.paths


def test_moved_archives_are_found_again(shards: Path, tmp_path: Path) -> None:
    before = survey_images(shards, cache=tmp_path).dataset
    shutil.move(shards, tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"digits-000000.tar/.* is missing .* with --data"):
        read_surveyed_image(before, 0, side=32)
    after = survey_images(tmp_path / "elsewhere", cache=tmp_path).dataset
    assert after.has_same_images(before)
    assert after.reordered_like(before).digests == before.digests


def test_a_changed_image_in_an_archive_is_told(tmp_path: Path) -> None:
    labels = {f"{k}": str(k % 2) for k in range(40)}
    archive = write_shard(tmp_path / "x.tar", labels)
    dataset = survey_images(archive, cache=tmp_path / "cache").dataset
    write_shard(archive, labels, first=1)
    with pytest.raises(DataError, match=r"x\.tar/.* has changed since the data were read"):
        read_surveyed_image(dataset, 0, side=20)
    again = survey_images(archive, cache=tmp_path / "cache").dataset
    assert again.digests != dataset.digests


def test_an_unreadable_image_in_an_archive_is_left_out(tmp_path: Path) -> None:
    labels = {f"{k}": str(k % 2) for k in range(40)}
    write_shard(tmp_path / "set" / "x-00.tar", labels)
    write_tar(tmp_path / "set" / "x-01.tar", {"bad.png": b"no image", "bad.cls": "0"})
    survey = survey_images(tmp_path / "set", cache=tmp_path / "cache")
    assert [(i.path, i.kind) for i in survey.issues if i.kind == "bad"] == [
        ("x-01.tar/bad.png", "bad")
    ]


@pytest.mark.parametrize(
    ("folders", "packed"),
    [
        (["train/cat", "train/dog", "val/cat", "val/dog"], ["train", "val"]),
        (["cat", "dog"], ["cat", "dog"]),
        (["images/cat", "images/dog"], ["images"]),
    ],
)
def test_an_archive_stands_for_a_folder(
    tmp_path: Path, folders: list[str], packed: list[str]
) -> None:
    plain = lay_out(tmp_path / "plain", *folders)
    for name in packed:
        pack(plain / name, tmp_path / "packed" / f"{name}.tar")
    expected, found = (
        Counter((row.label, row.split) for row in read_source(folder, cache=tmp_path).rows)
        for folder in (plain, tmp_path / "packed")
    )
    assert found == expected


def test_copied_archives_are_refused(tmp_path: Path) -> None:
    archive = pack(lay_out(tmp_path / "plain", "cat", "dog"), tmp_path / "set" / "train.tar")
    shutil.copy(archive, archive.with_name("val.tar"))
    with pytest.raises(DataError, match=r"hold the same 3 images .* --ignore 'val/cat'"):
        check_source(tmp_path / "set", cache=tmp_path)
    ignoring = ReadOptions(ignore=("val/cat", "val/dog"))
    assert len(read_source(tmp_path / "set", cache=tmp_path, options=ignoring).rows) == 6


def test_a_choice_of_layout_is_asked_for_as_of_folders(tmp_path: Path) -> None:
    archive = pack(
        lay_out(tmp_path / "plain", "cat/persian", "cat/tabby", "dog"), tmp_path / "x.tar"
    )
    with pytest.raises(DataError, match=r"x\.tar needs a choice, .* --layout class-sub") as told:
        check_source(archive, cache=tmp_path)
    assert "as the data" not in str(told.value)
    options = ReadOptions(layout="class-subclass")
    labels = Counter(
        row.label for row in read_source(archive, cache=tmp_path, options=options).rows
    )
    assert labels == {"cat": 6, "dog": 3}


def test_images_beside_archives_make_a_folder_of_images(tmp_path: Path) -> None:
    lay_out(tmp_path / "set", "cat", "dog")
    write_shard(tmp_path / "set" / "x.tar", {"a": "cat"})
    assert read_source(tmp_path / "set", cache=tmp_path).kind == "a folder per class"
    save_image(tmp_path / "other" / "grid.png")
    write_shard(tmp_path / "other" / "x.tar", {"a": "cat", "b": "dog"})
    with pytest.raises(DataError, match=r"give one uncompressed \.tar itself"):
        read_source(tmp_path / "other", cache=tmp_path)
    assert len(read_source(tmp_path / "other" / "x.tar", cache=tmp_path).rows) == 2


def test_archives_in_an_object_store_are_read_from_their_copy(
    bucket: str, shards: Path, dataset: Dataset, tmp_path: Path
) -> None:
    put(shards, below(bucket, "shards"))
    found = survey_images(below(bucket, "shards"), cache=tmp_path).dataset
    assert_same_images(found, dataset, tmp_path)
    single = below(bucket, "shards/digits-000001.tar")
    check_source(single, cache=tmp_path)
    rows = read_source(single, cache=tmp_path).rows
    assert len(rows) == 40
