from pathlib import Path

import pytest

from spaces import DataError
from tests.support.images import save_image
from trainables.tables.paths import FileFinder, locate_images, paths_as_written


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.png", ["a.png"]),
        ("a", ["a.png"]),
        ("A.PNG", ["a.png"]),
        ("x/1.b.png", ["1.b.png"]),
        ("x/1.b", ["1.b.png"]),
        ("X/1.b", ["1.b.png"]),
        ("two", ["two.jpg", "two.png"]),
        ("x", []),
        ("lost.png", []),
        ("lost/a.png", []),
        ("a" * 5000, []),
    ],
)
def test_files_are_found_by_name_or_stem(tmp_path: Path, name: str, found: list[str]) -> None:
    for file in ("a.png", "x/1.b.png", "two.png", "two.jpg"):
        save_image(tmp_path / file)
    assert [path.name for path in FileFinder().find(tmp_path, name)] == found


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
