import re
from pathlib import Path

import pytest

from tests.support.archives import write_tar
from tests.support.images import save_image
from trainables.archives.shards import Shard, find_archives, read_shards
from trainables.folders import scan_tree


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("train-000012.tar", "train"),
        ("cifar10-train-000000.tar", "cifar10-train"),
        ("train-00000-of-00010.tar", "train"),
        ("train/7.tar", "train"),
        ("train/00012.tar", "train"),
        ("train.tar", "train"),
        ("set/n01440764.tar", "set/n01440764"),
        ("class_1.tar", "class_1"),
        ("0001.tar", ""),
        ("", ""),
    ],
)
def test_shards_of_one_sequence_stand_for_one_folder(path: str, folder: str) -> None:
    assert Shard(path, ()).folder == folder


def test_archives_are_found_in_natural_order_unless_images_lie_beside(tmp_path: Path) -> None:
    for name in ("10.tar", "9.TAR", "deep/x.tar"):
        write_tar(tmp_path / name, {})
    (tmp_path / "README.md").write_text("A set.")
    assert find_archives(scan_tree(tmp_path)) == ["9.TAR", "10.tar", "deep/x.tar"]
    save_image(tmp_path / "sample.png")
    assert find_archives(scan_tree(tmp_path)) == []
    assert len(find_archives(scan_tree(tmp_path, ["sample.png"]))) == 3


def test_hidden_and_ignored_files_are_passed_over(tmp_path: Path) -> None:
    names = ["1.jpg", "._1.jpg", "a/.DS_Store", "__MACOSX/1.jpg", "a/2.jpg", "a/2.seg.png"]
    write_tar(tmp_path / "x-00.tar", dict.fromkeys(names, b""))
    write_tar(tmp_path / "x-01.tar", {"1.jpg": b""})
    shards = read_shards(tmp_path, ["*.seg.png", "x-01.tar", "*.gif"])
    assert [(shard.path, shard.members) for shard in shards.shards] == [
        ("x-00.tar", ("1.jpg", "a/2.jpg"))
    ]
    assert shards.skipped == (
        ("hidden files", "x-00.tar/._1.jpg"),
        ("hidden files", "x-00.tar/a/.DS_Store"),
        ("hidden files", "x-00.tar/__MACOSX/1.jpg"),
        ("files left out by --ignore", "x-00.tar/a/2.seg.png"),
    )
    assert shards.notes == ["--ignore '*.gif' matches nothing."]


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["x-000", "x-001", "x-004"], "2 shards of .* x-000.tar to x-004.tar are missing: 2, 3."),
        (["x-00001-of-00003", "x-00002-of-00003"], "1 shard of .* is missing: 0."),
        (["a/0", "a/2", "b/1", "b/2"], "1 shard of the sequence from a/0.tar to a/2.tar is miss"),
    ],
)
def test_gaps_in_the_numbers_of_shards_are_noted(
    tmp_path: Path, names: list[str], note: str
) -> None:
    for name in names:
        write_tar(tmp_path / f"{name}.tar", {})
    (found,) = read_shards(tmp_path).notes
    assert re.match(note, found)


def test_a_single_archive_is_its_own_root(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "x.tar", {"cat/1.jpg": b""})
    shards = read_shards(archive, ["*.gif"])
    assert [shard.join(shard.members[0]) for shard in shards.shards] == ["cat/1.jpg"]
    assert shards.notes == ["--ignore '*.gif' matches nothing."]
