import os
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.tables.paths import locate_images, paths_as_written


def test_a_few_missing_files_are_left_to_the_survey(tmp_path: Path) -> None:
    names = [save_image(tmp_path / f"{k}.png").name for k in range(10)]
    located = locate_images([*names, "gone.png"], "t.csv", tmp_path, None)
    assert located.paths[-1] == tmp_path / "gone.png"
    with pytest.raises(DataError, match=r"2 of the 12 images of t.csv are not in .*'lost.png'"):
        locate_images(["lost.png", *names, "gone.png"], "t.csv", tmp_path, None)


def test_images_that_are_elsewhere_keep_their_path_with_slashes(tmp_path: Path) -> None:
    assert paths_as_written(["a\\b.png"], tmp_path) == [tmp_path / "a" / "b.png"]


def test_the_places_that_were_searched_are_named(tmp_path: Path) -> None:
    save_image(tmp_path / "set" / "images" / "a.png")
    with pytest.raises(DataError, match=r"in it \(images/\), its parent or one folder beside"):
        locate_images(["lost.png"], "t.csv", tmp_path / "set", None)


def test_images_in_a_folder_beside_that_of_the_table_are_found(tmp_path: Path) -> None:
    save_image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    located = locate_images(["a.png"], "t.csv", tmp_path / "labels", None)
    assert located.paths == [tmp_path / "images" / "a.png"]
    assert "images" in located.note


def test_images_in_several_folders_are_found_if_each_is_in_one(tmp_path: Path) -> None:
    data = tmp_path / "set"
    files = [save_image(data / f"part_{k}" / f"{k}{n}.jpg") for k in (1, 2) for n in "ab"]
    located = locate_images(["1a", "1b", "2a", "2b"], "t.csv", data, None)
    assert (located.root, located.paths) == (data, files)
    assert located.note == "The paths of the table start at part_1/, part_2/."


def test_images_in_a_folder_such_as_images_of_several_folders_are_found(tmp_path: Path) -> None:
    data = tmp_path / "set"
    files = [save_image(data / f"images_{k}" / "images" / f"x{k}.png") for k in range(3)]
    located = locate_images(["x0.png", "x1.png", "x2"], "t.csv", data, None)
    assert located.paths == files
    assert "images_0/images/, images_1/images/, images_2/images/" in located.note


def test_a_folder_that_may_not_be_opened_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "set"
    image = save_image(data / "images" / "a.png")
    (data / "locked").mkdir()
    scandir = os.scandir

    def refuse_locked(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse_locked)
    assert locate_images(["a"], "t.csv", data, None).paths == [image]
    with pytest.raises(DataError, match=r"1 of the 1 images of t.csv are not in"):
        locate_images(["lost"], "t.csv", data, None)


def test_images_of_one_name_in_several_folders_are_not_guessed(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png", "c/2.png"):
        save_image(tmp_path / "set" / name)
    with pytest.raises(DataError, match=r"2 of the 2 images of t.csv are not in"):
        locate_images(["1.png", "2.png"], "t.csv", tmp_path / "set", None)


def test_a_folder_that_lacks_a_few_of_the_images_is_named(tmp_path: Path) -> None:
    names = [save_image(tmp_path / "images" / f"{k}.png").name for k in range(10)]
    with pytest.raises(DataError, match=r"images has 10 of the 11 .* lacks 1, such as 'gone.png'"):
        locate_images([*names, "gone.png"], "t.csv", tmp_path, None)
    located = locate_images([*names, "gone.png"], "t.csv", tmp_path, tmp_path / "images")
    assert located.paths[-1] == tmp_path / "images" / "gone.png"


def test_paths_on_a_network_share_of_another_machine_are_found(tmp_path: Path) -> None:
    files = [save_image(tmp_path / name / "1.png") for name in ("cat", "dog")]
    values = [rf"\\server\share\pets\{name}\1.png" for name in ("cat", "dog")]
    located = locate_images(values, "t.csv", tmp_path, None)
    assert located.paths == files
    assert "//server/share/pets/ was on another machine" in located.note
