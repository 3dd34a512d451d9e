from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from spaces import DataError, TrialParams
from tests.support.archives import image_bytes
from tests.support.images import save_image
from tests.support.object_store import below, put
from tests.support.parquet import hub_table, write_shard
from tests.trainables.archives.test_source import assert_same_images
from tests.trainables.tables.test_source import listing
from trainables.data import (
    Dataset,
    ImageSet,
    OriginalImages,
    check_source,
    read_source,
    read_surveyed_image,
    survey_images,
)
from trainables.images import PixelFormat
from trainables.models import Weights
from trainables.tables.parquet_folder import find_shards
from trainables.training import FineTuneSettings, FineTuning


@pytest.mark.parametrize(
    "names",
    [
        ("data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"),
        ("train.parquet", "test.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("data/train-00000-of-00001-8f2a9.parquet", "data/test-00000-of-00001-77ab3.parquet"),
    ],
)
def test_a_download_of_the_hub_is_read(tmp_path: Path, names: tuple[str, str]) -> None:
    hub_table(tmp_path / "set" / names[0], [0, 1] * 6)
    hub_table(tmp_path / "set" / names[1], [0, 1, -1])
    (tmp_path / "set" / "README.md").write_text("A set.")
    check_source(tmp_path / "set", cache=tmp_path / "cache")
    found = listing(tmp_path / "set")
    counts = Counter((row.split, row.label) for row in found.rows)
    assert counts == {
        ("train", "cat"): 6,
        ("train", "dog"): 6,
        ("test", "cat"): 1,
        ("test", "dog"): 1,
    }
    assert {u.reason: u.count for u in found.unused} == {
        "test rows without a label": 1,
        "files beside the Parquet files": 1,
    }


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["train-00000-of-00002"], "has 1 of the 2 Parquet files of train; download the others"),
        (["train-00000-of-00001", "extra-00000-of-00001"], "Parquet files of the splits extra"),
        (["a/train", "b/train"], r"same split in several folders \(a, b\); give the folder"),
    ],
)
def test_a_download_in_part_is_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    for name in names:
        hub_table(tmp_path / "set" / f"{name}.parquet", [0, 1])
    with pytest.raises(DataError, match=sentence):
        check_source(tmp_path / "set", cache=tmp_path)


def test_a_table_beside_class_folders_is_no_part_of_a_split(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        save_image(tmp_path / "set" / name / "1.png")
    hub_table(tmp_path / "set" / "measurements.parquet", [0, 1])
    assert find_shards(tmp_path / "set") == {}
    assert {row.label for row in listing(tmp_path / "set").rows} == {"cat", "dog"}


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"label_column": "label"}
    for k in range(3):
        hub_table(tmp_path / "set" / f"train-0000{k}-of-00003.parquet", [k % 2] * (k + 1))
    labels = [row.label for row in listing(tmp_path / "set", **options).rows]
    assert labels == ["cat", "dog", "dog", "cat", "cat", "cat"]


def write_shards(folder: Path, labels: Sequence[int], **options: Any) -> Path:
    """Write shards of two classes without a split, with the labels of each in its own order."""
    for k in range(2):
        name = folder / "data" / f"set-0000{k}-of-00002.parquet"
        images = [image_bytes(10 * k + row) for row in range(len(labels))]
        write_shard(name, images, labels, classes=("cat", "dog"), **options)
    return folder


def test_shards_that_name_no_split_are_one_dataset(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "set", [0, 1] * 5)
    check_source(folder, cache=tmp_path / "cache")
    found = listing(folder)
    assert found.root == folder and not (tmp_path / "cache").exists()
    assert {row.split for row in found.rows} == {None}
    assert [row.path for row in found.rows[9:11]] == [
        folder / "data/set-00000-of-00002.parquet/9",
        folder / "data/set-00001-of-00002.parquet/0",
    ]


def test_shards_that_are_sorted_by_class_are_read_together(tmp_path: Path) -> None:
    for k in range(2):
        name = tmp_path / "set" / f"train-0000{k}-of-00002.parquet"
        images = [image_bytes(10 * k + row) for row in range(10)]
        write_shard(name, images, [k] * 10, classes=("cat", "dog"))
    found = listing(tmp_path / "set")
    assert Counter(row.label for row in found.rows) == {"cat": 10, "dog": 10}


def test_files_and_rows_are_left_out_by_their_names(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "set", [0, 1] * 5)
    found = listing(folder, ignore=("set-00001*", "data/*/3", "none"))
    assert [row.path.name for row in found.rows] == [*"012456789"]
    assert [str(unused) for unused in found.unused] == [
        "rows left out by --ignore: 1, such as data/set-00000-of-00002.parquet/3",
        "files left out by --ignore: 1, such as data/set-00001-of-00002.parquet",
    ]
    assert found.notes == ("--ignore 'none' matches nothing.",)


def test_shards_of_other_columns_are_refused(tmp_path: Path) -> None:
    folder = write_shards(tmp_path / "set", [0, 1] * 5)
    other = folder / "data" / "set-00001-of-00002.parquet"
    write_shard(other, [image_bytes(0)] * 2)
    with pytest.raises(DataError, match=r"differ in their columns \(image, label; image\)"):
        check_source(folder, cache=tmp_path)
    other.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"set-00001-of-00002\.parquet can't be read as Parquet"):
        check_source(folder, cache=tmp_path)


@pytest.fixture
def shards(digits: Path, tmp_path: Path) -> Path:
    """The digits as three Parquet files without splits, in the order of the folder."""
    for number, folder in enumerate(sorted(digits.iterdir())):
        files = sorted(folder.iterdir())
        write_shard(
            tmp_path / "shards" / f"digits-{number:05d}-of-00003.parquet",
            [file.read_bytes() for file in files],
            [number] * len(files),
            classes=sorted(path.name for path in digits.iterdir()),
            paths=[file.name for file in files],
        )
    return tmp_path / "shards"


def test_parquet_shards_are_the_same_dataset_as_the_folder(
    shards: Path, digits: Path, dataset: Dataset, tmp_path: Path
) -> None:
    check_source(shards, cache=tmp_path)
    survey = survey_images(shards, cache=tmp_path)
    assert_same_images(survey.dataset, dataset, tmp_path)
    names = {path.rpartition("/")[2] for path in dataset.paths}
    assert {path.rpartition("/")[2] for path in survey.dataset.paths} == names
    assert survey.dataset.paths[0].startswith("digits-00000-of-00003.parquet/")
    assert survey.notes == survey_images(digits, cache=tmp_path).notes


def test_the_first_epoch_on_shards_has_the_scores_of_that_on_the_folder(
    shards: Path, dataset: Dataset, params: TrialParams, untrained: Weights, tmp_path: Path
) -> None:
    def first_epoch(images: Dataset) -> tuple[float, float, float]:
        store = OriginalImages(images, PixelFormat(32, "bicubic"))
        train, val = (ImageSet.of(images, store, split) for split in ("train", "val"))
        settings = FineTuneSettings(max_epochs=1)
        fine_tuning = FineTuning(
            params, untrained, num_classes=3, train=train, val=val, settings=settings
        )
        report = fine_tuning.run_round()
        return report.train_loss, report.val_loss, report.val_accuracy

    in_shards = survey_images(shards, cache=tmp_path).dataset
    assert first_epoch(in_shards) == first_epoch(dataset)


def test_moved_shards_are_found_again(shards: Path, tmp_path: Path) -> None:
    before = survey_images(shards, cache=tmp_path).dataset
    shards.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"parquet/.* is missing .* with --data"):
        read_surveyed_image(before, 0, side=32)
    after = survey_images(tmp_path / "elsewhere", cache=tmp_path).dataset
    assert after.has_same_images(before)
    assert after.reordered_like(before).digests == before.digests


def test_a_changed_image_in_a_shard_is_told(tmp_path: Path) -> None:
    file = hub_table(tmp_path / "x.parquet", [0, 1] * 20)
    dataset = survey_images(file, cache=tmp_path / "cache").dataset
    images = [image_bytes(row + 1) for row in range(40)]
    write_shard(file, images, [0, 1] * 20, paths=[f"{row}.png" for row in range(40)])
    with pytest.raises(DataError, match=r"x\.parquet/.* has changed since the data were read"):
        read_surveyed_image(dataset, 0, side=20)
    again = survey_images(file, cache=tmp_path / "cache").dataset
    assert again.digests != dataset.digests


def test_an_unreadable_image_in_a_shard_is_left_out_and_named(tmp_path: Path) -> None:
    images = [*(image_bytes(row) for row in range(40)), b"no image", b""]
    file = write_shard(tmp_path / "x.parquet", images, [0, 1] * 21, classes=("cat", "dog"))
    survey = survey_images(file, cache=tmp_path / "cache")
    assert [issue.path for issue in survey.issues if issue.kind == "bad"] == ["40", "41"]
    assert len(survey.dataset) == 40


def test_shards_in_an_object_store_are_read_from_their_copy(
    bucket: str, shards: Path, dataset: Dataset, tmp_path: Path
) -> None:
    put(shards, below(bucket, "shards"))
    found = survey_images(below(bucket, "shards"), cache=tmp_path).dataset
    assert_same_images(found, dataset, tmp_path)
    single = below(bucket, "shards/digits-00001-of-00003.parquet")
    check_source(single, cache=tmp_path)
    assert len(read_source(single, cache=tmp_path).rows) == 40
    assert not list((tmp_path / "copies").rglob("*.png"))
