from pathlib import Path

import pytest

from tests.support.images import save_image
from trainables.tables.file_finder import FileFinder


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
        ("a" * 5000 + "/" + "a" * 5000, []),
    ],
)
def test_files_are_found_by_name_or_stem(tmp_path: Path, name: str, found: list[str]) -> None:
    for file in ("a.png", "x/1.b.png", "two.png", "two.jpg"):
        save_image(tmp_path / file)
    assert [path.name for path in FileFinder().find(tmp_path, name)] == found
