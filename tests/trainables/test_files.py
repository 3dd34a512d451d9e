import json
import os
import stat
from pathlib import Path

import pytest

from trainables.files import printable, write_atomically, write_json


def test_writing_a_file_creates_its_folder_and_leaves_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    write_atomically(target, lambda partial: partial.write_text("text"))
    assert target.read_text() == "text"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_written_file_is_readable_for_others_even_if_its_writer_made_it_private(
    tmp_path: Path,
) -> None:
    def write_privately(partial: Path) -> None:
        partial.unlink()
        os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))

    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "file", write_privately)
    usual, written = ((tmp_path / name).stat().st_mode for name in ("usual", "file"))
    assert stat.filemode(written) == stat.filemode(usual)


def test_json_keeps_the_order_of_keys_and_non_ascii_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": "Größe", "a": [1, 2.5]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "Größe" in text
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["b", "a"]


def test_names_that_are_not_utf8_are_shown_with_their_bytes() -> None:
    assert printable(os.fsdecode(b"caf\xe9/\xc3\xa9.png")) == "caf\\xe9/é.png"
