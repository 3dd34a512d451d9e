import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from spaces import DataError
from tests.support.images import save_image
from trainables.data import check_source, read_source
from trainables.listing import ReadOptions
from trainables.listing.listing import Listing


def test_a_hugging_face_dataset_on_disk_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = [str(save_image(tmp_path / f"{i}.png", colour=i * 60)) for i in range(4)]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    part = datasets.Dataset.from_dict({"image": files, "label": [0, 1, 0, 1]}, features=features)
    both = datasets.DatasetDict({"train": part, "test": part})
    both.save_to_disk(tmp_path / "hf")
    listing = read_source(tmp_path / "hf", cache=tmp_path / "cache")
    assert [row.label for row in listing.rows[:4]] == ["cat", "dog", "cat", "dog"]
    assert {row.split for row in listing.rows} == {"train", "test"}
    with Image.open(listing.rows[1].path) as image:
        assert image.getpixel((0, 0)) == 60


def test_a_saved_dataset_that_lacks_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    part = datasets.Dataset.from_dict({"image": ["a.png"], "label": ["cat"]})
    part.save_to_disk(tmp_path / "hf")
    next((tmp_path / "hf").glob("*.arrow")).unlink()
    with pytest.raises(
        DataError, match=r"saved dataset .* can't be loaded .*copy all of its files"
    ):
        read_source(tmp_path / "hf", cache=tmp_path / "cache")


def test_classes_beside_a_state_json_of_another_program_are_no_saved_dataset(
    tmp_path: Path,
) -> None:
    for name in ("cat", "dog"):
        save_image(tmp_path / "d" / name / "1.png")
    (tmp_path / "d" / "state.json").write_text("{}")
    assert [row.label for row in read_source(tmp_path / "d", cache=tmp_path).rows] == ["cat", "dog"]


def test_a_dataset_of_the_hub_is_read_as_the_library_loads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "library")
    for split, name, count in (("train", "cat", 3), ("train", "dog", 2), ("test", "dog", 1)):
        folder = tmp_path / "photos" / split / name
        folder.mkdir(parents=True)
        for k in range(count):
            save_image(folder / f"{k}.png", colour=40 * k + count)
    address = f"hf://{tmp_path}/photos"  # where the hub has OWNER/NAME; the loading is the same
    check_source(address, cache=tmp_path / "cache")
    listing = read_source(address, cache=tmp_path / "cache")
    counts = Counter((row.split, row.label) for row in listing.rows)
    assert counts == {("train", "cat"): 3, ("train", "dog"): 2, ("test", "dog"): 1}
    assert all(row.path.is_relative_to(tmp_path / "cache") for row in listing.rows)


def test_a_dataset_that_can_not_be_loaded_is_refused_with_its_address(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"The dataset hf://nobody/nothing can't be loaded \("):
        read_source("hf://nobody/nothing", cache=tmp_path)
    with pytest.raises(
        DataError, match=r"is hf://OWNER/NAME or hf://OWNER/NAME@REVISION, not 'hf://'"
    ):
        check_source("hf://", cache=tmp_path)


def test_a_hub_without_https_is_told(tmp_path: Path) -> None:
    script = f"""if True:
        from pathlib import Path
        from trainables.data import read_source
        try:
            read_source("hf://nobody/nothing", cache=Path({str(tmp_path)!r}))
        except Exception as error:
            print(type(error).__name__, error)
    """
    variables = {"HF_ENDPOINT": "hf-mirror.com", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("DataError The dataset hf://nobody/nothing can't be loaded (")
    assert "https://" in done.stdout
    assert ", where HF_ENDPOINT is 'hf-mirror.com'); check its name" in done.stdout


def test_columns_of_a_hugging_face_dataset_are_chosen_by_flags(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    files = [str(save_image(tmp_path / f"{i}.png", colour=i * 60)) for i in range(4)]
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "mask": datasets.Image(),
            "coarse": datasets.ClassLabel(names=["pet"]),
            "fine": datasets.ClassLabel(names=["cat", "dog"]),
            "owner": datasets.Value("string"),
        }
    )
    data = {
        "image": files,
        "mask": files[::-1],
        "coarse": [0] * 4,
        "fine": [0, 1, 0, -1],
        "owner": list("abca"),
    }
    part = datasets.Dataset.from_dict(data, features=features)
    datasets.DatasetDict({"train": part.select(range(3)), "test": part}).save_to_disk(
        tmp_path / "hf"
    )

    def read(**options: Any) -> Listing:
        return read_source(
            tmp_path / "hf", cache=tmp_path / "cache", options=ReadOptions(**options)
        )

    with pytest.raises(DataError, match="image, mask; choose one with --image-column"):
        read()
    with pytest.raises(DataError, match=r"coarse \('pet'\), fine .*--label-column"):
        read(image_column="image")
    with pytest.raises(DataError, match="did you mean 'fine'"):
        read(image_column="image", label_column="fines")
    found = read(image_column="mask", label_column="fine", group_column="owner")
    assert [(r.label, r.split, r.group) for r in found.rows[:2]] == [
        ("cat", "train", "a"),
        ("dog", "train", "b"),
    ]
    with Image.open(found.rows[0].path) as image:
        assert image.getpixel((0, 0)) == 180
    assert {u.reason: u.example for u in found.unused} == {
        "other columns of the table": "image, coarse",
        "test rows without a label": "row 4",
    }


def test_paths_in_a_hugging_face_dataset_start_at_the_image_root(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for k in range(2):
        save_image(tmp_path / "elsewhere" / "images" / f"{k}.png", colour=k)
    part = datasets.Dataset.from_dict({"file_name": ["0.png", "1.png"], "label": ["x", "y"]})
    part.save_to_disk(tmp_path / "hf")
    with pytest.raises(DataError, match=r"2 of the 2 images .* with --image-root"):
        read_source(tmp_path / "hf", cache=tmp_path)
    options = ReadOptions(image_root=tmp_path / "elsewhere" / "images")
    rows = read_source(tmp_path / "hf", cache=tmp_path, options=options).rows
    assert [row.path.name for row in rows] == ["0.png", "1.png"]
