import shutil
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.folders import lay_out
from trainables.folders.copied_folders import refuse_copied_folders


def paths(root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in sorted(root.rglob("*.png"))]


def test_a_copied_folder_is_named_with_the_pattern_that_leaves_it_out(tmp_path: Path) -> None:
    lay_out(tmp_path, "a", "b")
    shutil.copytree(tmp_path / "a", tmp_path / "c" / "a")
    with pytest.raises(DataError, match=r"a and c/a .* same 3 images .* --ignore 'c/a'"):
        refuse_copied_folders(tmp_path, paths(tmp_path))


def test_equal_names_and_sizes_with_other_content_are_no_copies(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("1.png", "2.png", "3.png"):
            (tmp_path / folder / name).write_text(folder)
    refuse_copied_folders(tmp_path, paths(tmp_path))
    assert len(paths(tmp_path)) == 6


def test_two_equal_images_are_no_copied_folder(tmp_path: Path) -> None:
    lay_out(tmp_path, "a/1.png", "a/2.png")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    refuse_copied_folders(tmp_path, paths(tmp_path))
    assert len(paths(tmp_path)) == 4
