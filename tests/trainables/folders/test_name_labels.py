import pytest

from trainables.folders.name_labels import (
    names_hold_labels,
    numbered_labels,
    prefix_label,
    suffix_label,
)


@pytest.mark.parametrize(
    ("name", "prefix", "suffix"),
    [
        ("cat_001.jpg", "cat", None),
        ("a/cat (12).png", "cat", None),
        ("big cat.7.jpg", "big cat", None),
        ("001_cat.jpg", None, "cat"),
        ("12-big_cat.png", None, "big_cat"),
        ("subject01.happy", "subject", "happy"),
        ("a001b.png", "a", "b"),
        ("0001.png", None, None),
        ("cat.png", None, None),
        ("Katze-äöü_1.png", "Katze-äöü", None),
    ],
)
def test_words_beside_the_numbers_of_a_name_are_its_label(
    name: str, prefix: str | None, suffix: str | None
) -> None:
    assert (prefix_label(name), suffix_label(name)) == (prefix, suffix)


@pytest.mark.parametrize(
    ("names", "hold"),
    [
        (["cat_1.png", "cat_2.png", "dog_1.png", "dog_2.png"], True),
        (["cat_1.png", "cat_2.png", "dog_1.png"], False),
        (["cat_1.png", "cat_2.png"], False),
        (["cat_1.png", "cat_2.png", "dog_1.png", "dog_2.png", "3.png"], False),
        (["IMG_1.png", "IMG_2.png", "DSC_1.png", "DSC_2.png"], False),
        ([], False),
    ],
)
def test_names_hold_labels_if_each_has_one_that_is_a_class(names: list[str], hold: bool) -> None:
    assert names_hold_labels(names, prefix_label) == hold


@pytest.mark.parametrize(
    ("beginnings", "numbered"),
    [
        (["normal", "stage1", "stage2"], ["stage1", "stage2"]),
        (["normal", "type_0", "type_1"], ["type_0", "type_1"]),
        (["normal", "stage1"], []),
        (["cat", "dog"], []),
        ([f"cat{k}" for k in range(1, 12)], []),
    ],
)
def test_labels_with_few_numbers_of_their_own_may_be_several(
    beginnings: list[str], numbered: list[str]
) -> None:
    names = [f"{beginning}_{k:03d}.png" for beginning in beginnings for k in range(3)]
    assert numbered_labels(names) == numbered


def test_labels_whose_numbers_do_not_recur_are_one() -> None:
    assert numbered_labels([f"cat{k}_{k:03d}.png" for k in range(9)]) == []
