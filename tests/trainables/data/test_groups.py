import pytest

from spaces import DataError
from trainables.data.groups import group_proposal, groups_by_path


def test_the_first_group_of_the_expression_names_the_group_else_the_whole_match() -> None:
    paths = ["a/p1_x.png", "b/p1_y.png", "b/other.png"]
    assert groups_by_path(paths, r"(p[0-9]+)_") == ["p1", "p1", None]
    assert groups_by_path(paths, r"p[0-9]+_") == ["p1_", "p1_", None]


def test_an_empty_match_is_no_group() -> None:
    paths = ["a/p1_x.png", "b/_y.png", "b/_z.png"]
    assert groups_by_path(paths, "([a-z0-9]*)_") == ["p1", None, None]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("(", "no regular expression"),
        ("dog", "matches none of the 1"),
        (r"(patient\d+)_|x", "matches none of the 1"),
    ],
)
def test_an_expression_that_fits_nothing_is_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        groups_by_path(["a/x.png"], pattern)


@pytest.mark.parametrize("name", ["patient{group}_{k:03}.png", "{group}_view{k}.jpg"])
def test_names_with_a_group_and_a_number_are_proposed(name: str) -> None:
    paths = [f"c/{name.format(group=k // 3, k=k)}" for k in range(30)]
    note = group_proposal(paths, classes=2)
    assert note and "suggest 10 groups with 3.0 images each" in note


@pytest.mark.parametrize("name", ["cell{k}.png", "cat_{k}.png", "a{k}_1.png"])
def test_numbered_images_and_class_names_are_no_groups(name: str) -> None:
    assert group_proposal([f"c/{name.format(k=k)}" for k in range(30)], classes=2) is None
