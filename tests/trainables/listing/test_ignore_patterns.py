"""Patterns of --ignore: by name at any depth, by path, and through folders."""

import pytest

from trainables.listing.ignore_patterns import IgnorePatterns


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.tmp", "a/b/x.tmp", True),
        ("./*.tmp", "a/b/x.tmp", False),
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/**", "a/b/c", True),
        ("**/b/*", "a/b/c", True),
        ("A", "a", False),
    ],
)
def test_a_pattern_matches_a_name_or_a_whole_path(pattern: str, path: str, matches: bool) -> None:
    assert IgnorePatterns([pattern]).match(path) is matches


def test_a_pattern_of_a_folder_matches_what_lies_within() -> None:
    patterns = IgnorePatterns(["old", "*.gif", "new"])
    assert patterns.match_within("a/old/x.gif")
    assert not patterns.match_within("a/older/x.png")
    assert patterns.idle == ("new",)
