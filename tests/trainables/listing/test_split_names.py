import pytest

from trainables.listing.split_names import (
    are_parts,
    eval_notes,
    folder_splits,
    is_container,
    name_words,
    split_name,
)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("Training_Set", "x_train", "TRAIN-images", "trn")],
        *[
            (name, "train")
            for name in (" Training ", "TrainSet", "train1", "training data", "imagesTrain")
        ],
        *[(name, "val") for name in ("val2017", "Valid", "x-val", "validation_set", "dev", "eval")],
        *[
            (name, "test")
            for name in ("test-images", "Test Images", "testset", "held_out", "tests", "HOLDOUT")
        ],
        *[(name, None) for name in ("cat", "train_station", "test tube", "data", "valley", "set")],
    ],
)
def test_a_name_tells_its_split(name: str, split: str | None) -> None:
    assert split_name(name, "val") == split
    assert folder_splits([name], "val") == {name: split}


def test_eval_is_what_the_user_says() -> None:
    assert split_name("Eval_Set", "test") == "test"
    assert split_name("evaluation", "val") == "val"
    note = '"eval" was read as val; --split.eval-is test reads it as test.'
    assert eval_notes(["train", "Eval_Set"], "val") == [note]
    assert eval_notes(["train", "val"], "val") == []


def test_a_common_word_makes_splits_of_folders_side_by_side() -> None:
    assert folder_splits(["seg_train", "seg_test", "seg_pred"], "val") == {
        "seg_train": "train",
        "seg_test": "test",
        "seg_pred": None,
    }
    assert set(folder_splits(["train_station", "test_tube"], "val").values()) == {None}
    assert set(folder_splits(["toy_train", "real_train"], "val").values()) == {None}


@pytest.mark.parametrize(
    "name", ["images", "Data", "images_001", "Dataset B", "train", "JPEGImages"]
)
def test_folders_that_hold_data_are_known_by_name(name: str) -> None:
    assert is_container(name)


@pytest.mark.parametrize(
    "name", ["cat", "7", "a", "valid", "raw", "dataset of cats", "image_of_cat"]
)
def test_other_names_may_be_classes(name: str) -> None:
    assert not is_container(name)


def test_words_are_split_at_capitals_digits_and_signs() -> None:
    assert name_words("TrainingSet_2017-x") == ("training", "set", "x")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["HAM10000_images_part_1", "HAM10000_images_part_2"], True),
        (["fold1", "fold2", "fold10"], True),
        (["batch_a", "batch_b"], True),
        (["Images part 1", "Images part 2"], True),
        (["grade_1", "grade_2"], False),
        (["image_class_1", "image_class_2"], False),
        (["part_1", "whole_1"], False),
        (["n01440764", "n01443537"], False),
        (["0", "1"], False),
    ],
)
def test_names_that_differ_in_a_number_alone_may_be_those_of_parts(
    names: list[str], expected: bool
) -> None:
    assert are_parts(names) == expected
