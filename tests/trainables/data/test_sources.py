from pathlib import Path

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.data import check_source, read_source


def test_missing_and_empty_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_source(tmp_path / "nowhere", cache=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="needs a folder per class"):
        read_source(tmp_path / "empty", cache=tmp_path)


def test_a_folder_without_two_classes_is_refused_at_a_glance(tmp_path: Path) -> None:
    (tmp_path / "one" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"Only one class was found \(cat\)"):
        check_source(tmp_path / "one", cache=tmp_path)
    with pytest.raises(DataError, match="needs a folder per class"):
        check_source(tmp_path / "one" / "cat", cache=tmp_path)
    save_image(tmp_path / "alone" / "train" / "cat" / "1.png")
    check_source(tmp_path / "alone", cache=tmp_path)
