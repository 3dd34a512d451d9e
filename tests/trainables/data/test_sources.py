from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from spaces import DataError
from trainables.data import check_source, read_source
from trainables.data.listing import Listing, natural_key


def picture(path: Path, colour: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 20), colour).save(path)
    return path


def listing(data: Path, **options: str) -> Listing:
    return read_source(data, cache=data.parent / "cache", **options)


def test_a_folder_per_class_is_read_at_any_depth(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "cat" / "1.png")
    picture(tmp_path / "d" / "dog" / "deep" / "2.jpg")
    found = listing(tmp_path / "d")
    assert [(row.path.name, row.label, row.split) for row in found.rows] == [
        ("1.png", "cat", None),
        ("2.jpg", "dog", None),
    ]


def test_split_folders_are_read_in_their_spellings(tmp_path: Path) -> None:
    for split in ("training", "valid", "Test"):
        picture(tmp_path / "d" / split / "cat" / "1.png")
    assert {row.split for row in listing(tmp_path / "d").rows} == {"train", "val", "test"}


def test_eval_is_validation_unless_told_otherwise(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "train" / "cat" / "1.png")
    picture(tmp_path / "d" / "eval" / "cat" / "1.png")
    found = listing(tmp_path / "d")
    assert found.rows[0].split == "val"
    assert "--split.eval-is test" in found.notes[0]
    assert listing(tmp_path / "d", eval_is="test").rows[0].split == "test"


def test_hidden_folders_and_other_files_are_ignored_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "cat" / "1.png")
    picture(tmp_path / "d" / "dog" / "1.png")
    picture(tmp_path / "d" / ".ipynb_checkpoints" / "1.png")
    picture(tmp_path / "d" / "cat" / ".thumbs" / "1.png")
    (tmp_path / "d" / "cat" / "notes.txt").write_text("x")
    (tmp_path / "d" / "readme.md").write_text("x")
    found = listing(tmp_path / "d")
    assert len(found.rows) == 2
    assert found.ignored == {
        "hidden folders": 2,
        "files that are no images": 1,
        "files outside classes": 1,
    }


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_with_the_columns_people_use(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"Image": ["a/1.png"], "class": ["7"], "subset": ["validation"]})
    file = tmp_path / f"list.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    row = listing(file).rows[0]
    assert (row.path, row.label, row.split) == (tmp_path / "a" / "1.png", "7", "val")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"file": ["1.png"], "diagnosis": ["x"]}, "needs one called 'label'"),
        ({"path": ["1.png"], "label": [""]}, "1 rows without a label"),
        ({"path": ["1.png"], "label": ["a"], "split": ["holdout2"]}, "splits 'holdout2'"),
        ({"path": [], "label": []}, "has no rows"),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, table: dict[str, list[str]], sentence: str
) -> None:
    file = tmp_path / "list.csv"
    pd.DataFrame(table).to_csv(file, index=False)
    with pytest.raises(DataError, match=sentence):
        listing(file)


def test_missing_and_empty_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        listing(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="needs a folder per class"):
        listing(tmp_path / "empty")


def test_what_a_folder_lacks_is_seen_at_a_glance(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        check_source(tmp_path / "one", cache=tmp_path)
    with pytest.raises(DataError, match="needs a folder per class"):
        check_source(tmp_path / "one" / "cat", cache=tmp_path)
    picture(tmp_path / "alone" / "train" / "cat" / "1.png")
    check_source(tmp_path / "alone", cache=tmp_path)


def test_classes_beside_split_folders_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "d" / "train" / "cat" / "1.png")
    picture(tmp_path / "d" / "cat" / "1.png")
    with pytest.raises(DataError, match="split folders and also cat"):
        listing(tmp_path / "d")


def test_a_hugging_face_dataset_on_disk_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = [str(picture(tmp_path / f"{i}.png", colour=i * 60)) for i in range(4)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    part = datasets.Dataset.from_dict({"image": files, "label": [0, 1, 0, 1]}, features=features)
    both = datasets.DatasetDict({"train": part, "test": part})
    both.save_to_disk(tmp_path / "hf")
    found = read_source(tmp_path / "hf", cache=tmp_path / "cache")
    assert [row.label for row in found.rows[:4]] == ["cat", "dog", "cat", "dog"]
    assert {row.split for row in found.rows} == {"train", "test"}
    with Image.open(found.rows[1].path) as image:
        assert image.getpixel((0, 0)) == 60


def test_a_dataset_of_the_hub_is_read_as_its_library_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "library")
    for split, name, count in (("train", "cat", 3), ("train", "dog", 2), ("test", "dog", 1)):
        folder = tmp_path / "photos" / split / name
        folder.mkdir(parents=True)
        for k in range(count):
            picture(folder / f"{k}.png", colour=40 * k + count)
    address = f"hf://{tmp_path}/photos"  # where the hub has OWNER/NAME; the loading is the same
    check_source(address, cache=tmp_path / "cache")
    found = read_source(address, cache=tmp_path / "cache")
    counts = Counter((row.split, row.label) for row in found.rows)
    assert counts == {("train", "cat"): 3, ("train", "dog"): 2, ("test", "dog"): 1}
    assert all(row.path.is_relative_to(tmp_path / "cache") for row in found.rows)


def test_a_dataset_that_the_hub_can_not_give_is_told_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"The dataset hf://nobody/nothing can't be loaded \("):
        read_source("hf://nobody/nothing", cache=tmp_path)
    with pytest.raises(DataError, match=r"is hf://OWNER/NAME, or with @REVISION, not 'hf://'"):
        check_source("hf://", cache=tmp_path)


def test_names_sort_as_people_count() -> None:
    assert sorted(["10", "9", "a2", "a10", "b"], key=natural_key) == ["9", "10", "a2", "a10", "b"]
