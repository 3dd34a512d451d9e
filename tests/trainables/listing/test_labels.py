from collections import Counter
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.data import read_source
from trainables.listing import ReadOptions
from trainables.listing.labels import reconcile_labels, spelling_groups
from trainables.listing.listing import Listing, Row


def listing(*labels: str) -> Listing:
    rows = (Row(Path(f"{k}.png"), label) for k, label in enumerate(labels))
    return Listing(Path(), "a table", tuple(rows))


@pytest.mark.parametrize(
    ("labels", "same"),
    [
        (["Cat", "cat"], True),
        (["big cat", "bigcat"], True),
        (["cat", "cat "], True),
        (["cat", "cat\u200b"], True),
        (["caf\u00e9", "cafe\u0301"], True),
        (["01", "1"], True),
        (["class 007", "Class 7"], True),
        (["0", "00"], True),
        (["1.01", "1.1"], False),
        (["10", "1"], False),
        (["cafe", "caf\u00e9"], False),
        (["cat", "cats"], False),
    ],
)
def test_spellings_differ_in_case_spaces_accents_and_leading_zeros(
    labels: list[str], same: bool
) -> None:
    assert bool(spelling_groups(labels)) is same


def test_the_most_frequent_spelling_wins_and_the_first_one_in_a_tie() -> None:
    merged = reconcile_labels(listing("cat", "cat", "Cat", "dog", "01", "1"), merge=True)
    assert Counter(row.label for row in merged.rows) == {"cat": 3, "dog": 1, "01": 2} or Counter(
        row.label for row in merged.rows
    ) == {"cat": 3, "dog": 1, "1": 2}
    assert "'Cat' (1) and 'cat' (2)" in merged.notes[0]


def test_spellings_are_told_and_kept_without_the_flag() -> None:
    told = reconcile_labels(listing("cat", "Cat", "dog"), merge=False)
    assert [row.label for row in told.rows] == ["cat", "Cat", "dog"]
    assert "--merge-labels makes them one class" in told.notes[0]
    plain = listing("cat", "dog")
    assert reconcile_labels(plain, merge=True) == plain


def test_many_spellings_are_told_in_few_words() -> None:
    names = [f"{letter}{k}" for k in range(50) for letter in "aA"]
    note = reconcile_labels(listing(*names), merge=False).notes[0]
    assert "and 45 more" in note and len(note) < 500


def test_folders_with_two_spellings_are_merged_too(tmp_path: Path) -> None:
    for name, count in (("Cat", 1), ("cat", 2), ("dog", 1)):
        for k in range(count):
            save_image(tmp_path / "set" / name / f"{k}.png", colour=k)
    options = ReadOptions(merge_labels=True)
    merged = read_source(tmp_path / "set", cache=tmp_path / "cache", options=options)
    assert Counter(row.label for row in merged.rows) == {"cat": 3, "dog": 1}


def test_splits_that_spell_a_label_differently_need_the_flag(tmp_path: Path) -> None:
    for name in ("train/Cat", "train/dog", "test/cat", "test/dog"):
        save_image(tmp_path / "set" / name / "1.png")
    with pytest.raises(DataError, match=r"in spelling only; give --merge-labels"):
        read_source(tmp_path / "set", cache=tmp_path)
    options = ReadOptions(merge_labels=True)
    merged = read_source(tmp_path / "set", cache=tmp_path, options=options)
    assert len({row.label for row in merged.rows}) == 2
