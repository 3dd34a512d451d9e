from pathlib import Path

import pytest

from spaces import DataError
from trainables.data.split_spec import SplitSpec, drawn_from, refuse_small_classes
from trainables.listing.listing import Row


def test_only_splits_that_are_not_given_are_drawn() -> None:
    spec = SplitSpec(val_fraction=0.1, test_fraction=0.2)
    assert spec.drawn({None}) == {"test": 0.2, "val": 0.1}
    assert spec.drawn({"train", "test"}) == {"val": 0.1}
    assert spec.drawn({"train", "val", "test"}) == {}
    assert spec.drawn({None, "test"}) == {"val": 0.1}


def test_images_without_a_split_are_drawn_from_else_those_of_train() -> None:
    assert drawn_from({None, "test"}) is None
    assert drawn_from({"train", "test"}) == "train"


def test_validation_images_are_like_training_images_only_if_all_were_drawn_together() -> None:
    spec = SplitSpec()
    assert spec.val_is_drawn([None, None])
    assert spec.val_is_drawn(["train", "test"])
    assert not spec.val_is_drawn(["train", "val", "test"])
    assert not spec.val_is_drawn(["train", "val"])
    assert not spec.val_is_drawn([None, "train"]), "val is drawn from the others alone"


def test_a_class_needs_an_image_for_each_split_that_is_filled() -> None:
    labels = ["a"] * 3 + ["b"] * 2
    rows = [Row(Path(f"{k}.png"), label) for k, label in enumerate(labels)]
    with pytest.raises(DataError, match=r"Class 'b' has 2 different images .* train, test, val"):
        refuse_small_classes(rows, range(5), SplitSpec(), has_groups=False)
    refuse_small_classes(rows[:3], range(3), SplitSpec(), has_groups=False)


def test_images_of_a_group_count_once() -> None:
    rows = [Row(Path(f"{k}.png"), "a") for k in range(6)]
    with pytest.raises(DataError, match=r"Class 'a' has 2 groups of images .* --group-by"):
        refuse_small_classes(rows, [0, 0, 0, 1, 1, 1], SplitSpec(), has_groups=True)


def test_images_of_given_splits_do_not_count_for_others() -> None:
    rows = [Row(Path("1.png"), "a", "train"), Row(Path("2.png"), "a", "test")]
    with pytest.raises(DataError, match="Class 'a' has 1 different image to be split into"):
        refuse_small_classes(rows, range(2), SplitSpec(), has_groups=False)
