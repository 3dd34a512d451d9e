from pathlib import Path

import numpy as np
import pytest

from spaces import DataError
from trainables.data.copies import (
    copy_issues,
    drop_copies_across_splits,
    near_copy_issues,
    near_copy_notes,
    refuse_copied_classes,
)
from trainables.data.scan_results import ScannedImage
from trainables.listing.listing import Row, SplitName

ROOT = Path("/root")


def image(
    name: str, label: str = "x", split: SplitName | None = None, pixels: str = ""
) -> tuple[Row, ScannedImage]:
    return Row(ROOT / name, label, split), ScannedImage(name, pixels=pixels or name)


def test_a_copy_by_pixels_stays_in_the_test_split_only() -> None:
    readable = [image("a", split="train", pixels="p"), image("b", split="test", pixels="p")]
    kept, issues = drop_copies_across_splits(readable, ROOT)
    assert [row.path.name for row, _ in kept] == ["b"]
    assert issues[0].reason == "same pixels as a test image, left out of train"


@pytest.mark.parametrize(
    ("split", "place"), [("train", "in train"), ("val", "in val"), (None, "without a split")]
)
def test_a_class_of_copies_only_is_refused(split: SplitName | None, place: str) -> None:
    readable = [image("a", "x", split, "p"), image("b", "x", "test", "p"), image("c", "y", split)]
    kept, issues = drop_copies_across_splits(readable, ROOT)
    assert "None" not in issues[0].reason
    with pytest.raises(DataError, match=f"class 'x' {place} are copies of test images; remove"):
        refuse_copied_classes(readable, kept)
    refuse_copied_classes(kept, kept)


def test_one_image_with_two_labels_in_two_formats_is_reported() -> None:
    issues = copy_issues([image("a", "x", pixels="p"), image("b", "y", pixels="p")], ROOT)
    assert [issue.reason for issue in issues] == ["the same pixels are labelled x and y"] * 2


def test_near_copies_with_different_labels_are_reported_and_those_with_one_are_not() -> None:
    readable = [image("a", "x"), image("b", "y"), image("c", "x"), image("d", "x")]
    issues = near_copy_issues(readable, np.array([[0, 1], [2, 3]]), ROOT)
    assert [issue.path for issue in issues] == ["a", "b"]
    assert issues[0].reason == "near copy of b: labelled x here and y there"


def test_the_share_of_test_images_with_a_near_copy_in_train_is_told() -> None:
    names = [f"t{k}" for k in range(4)]
    readable = [image("a", split="train"), *(image(name, split="test") for name in names)]
    _, note = near_copy_notes(readable, np.array([[0, 2]]), ROOT)
    assert note.startswith("25% of the test images (1 of 4) have a near copy in train, such as t1")


def test_images_from_which_train_will_be_drawn_count_as_train() -> None:
    readable = [image("a"), image("b", split="test"), image("c", split="test")]
    _, note = near_copy_notes(readable, np.array([[0, 1]]), ROOT)
    assert note.startswith("50% of the test images (1 of 2) have a near copy in train, such as b")


def test_a_chain_of_near_copies_counts_as_a_whole() -> None:
    """Of many copies of one picture, not every pair is looked at."""
    readable = [image("a", split="train"), *(image(name, split="test") for name in "bcd")]
    _, note = near_copy_notes(readable, np.array([[0, 1], [1, 2], [2, 3]]), ROOT)
    assert note.startswith("100% of the test images (3 of 3) have a near copy in train")
