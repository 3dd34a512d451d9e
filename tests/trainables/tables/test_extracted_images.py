from pathlib import Path

from tests.support.images import save_image
from trainables.tables.extracted_images import extract_image


def test_an_image_is_written_as_it_is_and_only_once(tmp_path: Path) -> None:
    content = save_image(tmp_path / "a.png").read_bytes()
    path = extract_image(content, tmp_path / "out", 3)
    assert (path.name, path.read_bytes()) == ("0000003.png", content)
    stamp = path.stat().st_mtime_ns
    assert extract_image(content, tmp_path / "out", 3).stat().st_mtime_ns == stamp


def test_what_is_no_image_is_written_as_unreadable(tmp_path: Path) -> None:
    assert extract_image(b"text", tmp_path, 0).suffix == ".unreadable"
