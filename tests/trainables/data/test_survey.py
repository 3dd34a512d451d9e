import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spaces import DataError
from trainables.data import SplitSpec, Survey, survey_images
from trainables.listing import ReadOptions

FilesBySplit = dict[str, set[str]]


@pytest.fixture
def copy(digits: Path, tmp_path: Path) -> Path:
    """A copy of the digits that a test may change."""
    return Path(shutil.copytree(digits, tmp_path / "digits"))


@pytest.fixture
def split_copy(digits: Path, tmp_path: Path) -> Path:
    """The digits under train, val and test."""
    root = tmp_path / "split"
    for label in ("zero", "one"):
        files = sorted((digits / label).iterdir())
        for split, part in (("train", files[:20]), ("val", files[20:25]), ("test", files[25:30])):
            (root / split / label).mkdir(parents=True)
            for file in part:
                shutil.copy(file, root / split / label)
    return root


def by_split(survey: Survey) -> FilesBySplit:
    data = survey.dataset
    return {s: {data.paths[r] for r in data.rows(s)} for s in ("train", "val", "test")}


def test_an_unsplit_folder_is_split_70_15_15_in_every_class(digits: Path, cache: Path) -> None:
    survey = survey_images(digits, cache=cache)
    for split, count in (("train", 28), ("val", 6), ("test", 6)):
        assert survey.dataset.counts(split) == {"one": count, "seven": count, "zero": count}
    assert "stratified by class, seed 0" in survey.split_description


def test_the_split_depends_on_the_seed_alone(digits: Path, cache: Path, copy: Path) -> None:
    first = by_split(survey_images(digits, cache=cache))
    assert by_split(survey_images(copy, cache=cache)) == first
    other_seed = SplitSpec(seed=1)
    assert by_split(survey_images(digits, cache=cache, split=other_seed)) != first


def test_the_fingerprint_depends_on_content_and_not_on_paths(
    digits: Path, cache: Path, copy: Path
) -> None:
    before = survey_images(digits, cache=cache).dataset.fingerprint
    assert survey_images(copy, cache=cache).dataset.fingerprint == before
    next((copy / "one").iterdir()).unlink()
    assert survey_images(copy, cache=cache).dataset.fingerprint != before


def test_copies_of_an_image_stay_in_one_split(copy: Path, cache: Path) -> None:
    originals = sorted((copy / "one").iterdir())
    for file in originals:
        shutil.copy(file, file.with_name(f"copy-{file.name}"))
    survey = survey_images(copy, cache=cache)
    for files in by_split(survey).values():
        for file in originals:
            name = f"one/{file.name}"
            assert (name in files) == (f"one/copy-{file.name}" in files)
    assert sum("same bytes" in s.reason for s in survey.issues) == len(originals)


def test_copies_of_test_images_are_removed_from_the_given_train_split(
    split_copy: Path, cache: Path
) -> None:
    leak = next((split_copy / "test" / "one").iterdir())
    shutil.copy(leak, split_copy / "train" / "one" / "leak.png")
    survey = survey_images(split_copy, cache=cache)
    assert survey.split_description == "as given"
    assert "train/one/leak.png" not in survey.dataset.paths
    assert f"test/one/{leak.name}" in survey.dataset.paths
    assert [s.reason for s in survey.issues] == ["same bytes as a test image, left out of train"]


def test_one_image_under_two_labels_is_reported(copy: Path, cache: Path) -> None:
    shutil.copy(next((copy / "one").iterdir()), copy / "seven" / "really.png")
    reasons = [s.reason for s in survey_images(copy, cache=cache).issues]
    assert reasons == ["the same bytes are labelled one and seven"] * 2


def test_copies_by_pixels_in_another_format_are_removed_from_the_given_train_split(
    split_copy: Path, cache: Path
) -> None:
    leak = next((split_copy / "test" / "one").iterdir())
    Image.open(leak).save(split_copy / "train" / "one" / "leak.bmp")
    survey = survey_images(split_copy, cache=cache)
    assert "train/one/leak.bmp" not in survey.dataset.paths
    assert [s.reason for s in survey.issues] == ["same pixels as a test image, left out of train"]


def test_groups_by_path_stay_in_one_split_and_the_units_say_so(copy: Path, cache: Path) -> None:
    for label in ("zero", "one", "seven"):
        for k, file in enumerate(sorted((copy / label).iterdir())):
            file.rename(file.with_name(f"{label}-patient{k % 8}_{k}.png"))
    options = ReadOptions(group_by="patient[0-9]")
    survey = survey_images(copy, cache=cache, options=options)
    for k in range(8):
        rows = [r for r, path in enumerate(survey.dataset.paths) if f"patient{k}" in path]
        assert len({survey.dataset.splits[r] for r in rows}) == 1
        assert len({survey.dataset.units[r] for r in rows}) == 1
    assert "8 groups of 15.0 images" in survey.notes[0]
    assert "groups and near copies together" in survey.split_description


def test_file_names_that_suggest_groups_are_proposed(copy: Path, cache: Path) -> None:
    for label in ("zero", "one", "seven"):
        for k, file in enumerate(sorted((copy / label).iterdir())):
            file.rename(file.with_name(f"{label}patient{k // 4}_{k}.png"))
    (note,) = survey_images(copy, cache=cache).notes
    assert "suggest 30 groups with 4.0 images each" in note


def test_a_missing_split_is_drawn_from_train(split_copy: Path, cache: Path) -> None:
    shutil.rmtree(split_copy / "val")
    survey = survey_images(split_copy, cache=cache)
    assert survey.split_description.startswith("val 15% of the given train images")
    assert survey.dataset.counts("val") == {"one": 3, "zero": 3}
    assert survey.dataset.counts("test") == {"one": 5, "zero": 5}


def test_different_classes_in_two_splits_are_refused_with_the_difference(
    split_copy: Path, cache: Path
) -> None:
    (split_copy / "test" / "one").rename(split_copy / "test" / "two")
    with pytest.raises(DataError, match="test also has two; test lacks one"):
        survey_images(split_copy, cache=cache)


def test_an_unreadable_image_is_left_out_and_listed(copy: Path, cache: Path) -> None:
    broken = sorted((copy / "one").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:50])
    survey = survey_images(copy, cache=cache)
    assert len(survey.dataset) == 119
    assert [(s.path, s.kind) for s in survey.issues] == [(f"one/{broken.name}", "bad")]
    assert survey.issues[0].reason == "image file is truncated"


def test_too_many_unreadable_images_are_refused(copy: Path, cache: Path) -> None:
    for file in sorted((copy / "one").iterdir())[:13]:
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"13 of 120 images can't be read, more than 10%"):
        survey_images(copy, cache=cache)


def test_a_class_left_empty_is_refused(copy: Path, cache: Path) -> None:
    (copy / "eight").mkdir()
    (copy / "eight" / "1.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match="Class eight has no readable image"):
        survey_images(copy, cache=cache)


def test_a_class_that_is_unreadable_in_one_split_is_refused(split_copy: Path, cache: Path) -> None:
    for file in (split_copy / "val" / "one").iterdir():
        file.write_bytes(b"not an image")
    with pytest.raises(DataError, match="Class one has no readable image in val; repair"):
        survey_images(split_copy, cache=cache)


def test_a_class_whose_training_images_are_test_images_is_refused(
    split_copy: Path, cache: Path
) -> None:
    shutil.rmtree(split_copy / "train" / "one")
    (split_copy / "train" / "one").mkdir()
    for file in (split_copy / "test" / "one").iterdir():
        shutil.copy(file, split_copy / "train" / "one" / f"x{file.name}")
    with pytest.raises(DataError, match="All images of class 'one' in train are copies of test im"):
        survey_images(split_copy, cache=cache)


def test_a_class_too_small_to_split_is_refused(copy: Path, cache: Path) -> None:
    for file in sorted((copy / "one").iterdir())[2:]:
        file.unlink()
    with pytest.raises(DataError, match="Class 'one' has 2 different images"):
        survey_images(copy, cache=cache)


def test_a_single_class_is_refused(copy: Path, cache: Path) -> None:
    shutil.rmtree(copy / "one")
    shutil.rmtree(copy / "seven")
    with pytest.raises(DataError, match="needs two or more"):
        survey_images(copy, cache=cache)


def test_images_of_one_colour_and_tiny_ones_are_reported(copy: Path, cache: Path) -> None:
    Image.new("L", (32, 32), 7).save(copy / "one" / "blank.png")
    Image.fromarray(np.arange(81, dtype=np.uint8).reshape(9, 9)).save(copy / "one" / "tiny.png")
    reasons = {s.path: s.reason for s in survey_images(copy, cache=cache).issues}
    assert reasons == {
        "one/blank.png": "all pixels have one colour",
        "one/tiny.png": "only 9x9 pixels",
    }


def test_images_with_several_frames_or_unscaled_12_bit_pixels_are_reported(
    copy: Path, cache: Path
) -> None:
    ramp = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    pages = [Image.fromarray((ramp // (4 + k)).astype(np.uint8)) for k in range(3)]
    pages[0].save(copy / "one" / "pages.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(4 * ramp).save(copy / "one" / "dim.png")
    Image.fromarray(64 * ramp).save(copy / "one" / "bright.tif")
    reasons = {s.path: s.reason for s in survey_images(copy, cache=cache).issues}
    assert reasons == {
        "one/pages.tif": "3 frames, of which only the first is used",
        "one/dim.png": "16-bit pixels were read on the scale 0..4095",
    }


def test_a_table_of_absolute_paths_and_missing_files(digits: Path, tmp_path: Path) -> None:
    files = [str(f) for label in ("one", "zero") for f in sorted((digits / label).iterdir())]
    labels = [Path(f).parent.name for f in files]
    table = pd.DataFrame({"path": [*files, "gone.png"], "label": [*labels, "one"]})
    table.to_csv(tmp_path / "list.csv", index=False)
    survey = survey_images(tmp_path / "list.csv", cache=tmp_path)
    assert len(survey.dataset) == 80
    assert survey.issues[0].reason == "file not found"
