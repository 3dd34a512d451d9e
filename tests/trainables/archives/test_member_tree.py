from pathlib import Path

import pytest

from spaces import DataError
from tests.support.archives import write_tar
from trainables.archives.member_tree import member_tree
from trainables.archives.shards import read_shards


def test_shards_are_merged_into_the_folder_that_they_stand_for(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-00.tar", {"cat/1.jpg": b"", "dog/2.JPEG": b"", "n.txt": b""})
    write_tar(tmp_path / "train-01.tar", {"cat/3.jpg": b""})
    write_tar(tmp_path / "val.tar", {"cat/1.jpg": b""})
    (tmp_path / "README.md").write_text("A set.")
    tree = member_tree(read_shards(tmp_path))
    images = list(tree.root.image_paths())
    assert images == ["train/cat/1.jpg", "train/cat/3.jpg", "train/dog/2.JPEG", "val/cat/1.jpg"]
    assert [tree.place(path) for path in images] == [
        "train-00.tar/cat/1.jpg",
        "train-01.tar/cat/3.jpg",
        "train-00.tar/dog/2.JPEG",
        "val.tar/cat/1.jpg",
    ]
    assert set(tree.root.file_paths()) - set(images) == {"README.md", "train/n.txt"}


def test_two_shards_with_a_file_of_one_name_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"x-0{number}.tar", {"cat/1.jpg": b""})
    with pytest.raises(DataError, match=r"x-00\.tar/cat/1\.jpg and .*--ignore 'x-01\.tar'"):
        member_tree(read_shards(tmp_path))
