import os
from pathlib import Path

import pytest

from tests.support.folders import lay_out
from trainables.folders.tree import scan_tree


def test_images_are_listed_in_natural_order_with_the_folders_among_them(tmp_path: Path) -> None:
    lay_out(tmp_path, "10.png", "2.png", "3/1.png", "notes.txt")
    tree = scan_tree(tmp_path).root
    assert list(tree.image_paths()) == ["2.png", "3/1.png", "10.png"]
    assert sorted(tree.file_paths()) == ["10.png", "2.png", "3/1.png", "notes.txt"]
    assert (tree.image_count, tree.others) == (3, ("notes.txt",))
    assert [folder.name for folder in tree.with_images] == ["3"]


def test_links_are_followed_but_not_back(tmp_path: Path) -> None:
    lay_out(tmp_path / "other", "1.png")
    lay_out(tmp_path / "d", "a/1.png")
    (tmp_path / "d" / "a" / "loop").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "b").symlink_to(tmp_path / "other")
    (tmp_path / "d" / "lost").symlink_to(tmp_path / "nowhere")
    tree = scan_tree(tmp_path / "d")
    assert list(tree.root.image_paths()) == ["a/1.png", "b/1.png"]
    assert tree.skipped == (
        ("links that lead back to a folder that holds them", "a/loop"),
        ("links to nothing", "lost"),
    )


def test_pipes_are_skipped_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert scan_tree(tmp_path).skipped == (("devices, pipes and sockets", "pipe"),)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("b", ["a/x.gif", "a/x.png"]),
        ("a/b", ["a/x.gif", "a/x.png", "b/1.png"]),
        ("/b", ["a/b/1.png", "a/x.gif", "a/x.png"]),
        ("./b/", ["a/b/1.png", "a/x.gif", "a/x.png"]),
        ("*.gif", ["a/b/1.png", "a/x.png", "b/1.png"]),
        ("a/*", ["b/1.png"]),
        ("a/**/1.png", ["a/x.gif", "a/x.png", "b/1.png"]),
        ("**/1.png", ["a/x.gif", "a/x.png"]),
        ("a/**", ["b/1.png"]),
    ],
)
def test_patterns_leave_out_files_and_folders(
    pattern: str, left: list[str], tmp_path: Path
) -> None:
    lay_out(tmp_path, "a/b/1.png", "a/x.gif", "a/x.png", "b/1.png")
    tree = scan_tree(tmp_path, [pattern])
    assert list(tree.root.image_paths()) == left
    assert tree.idle_patterns == ()


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, "a/1.png")
    assert scan_tree(tmp_path, ["*.tmp", "a"]).idle_patterns == ("*.tmp",)
