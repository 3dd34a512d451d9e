import json
import os
import shutil
import stat
import subprocess
import sys
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


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount needs root and unshare"
)
@pytest.mark.parametrize(
    "write", ["save_file({'a': torch.zeros(100_000)}, p)", "p.write_bytes(b'a' * 400_000)"]
)
def test_a_full_disk_is_an_error_of_the_system_that_names_the_file(
    tmp_path: Path, write: str
) -> None:
    script = f"""if True:
        import torch
        from pathlib import Path
        from safetensors.torch import save_file
        from trainables.files import write_atomically
        try:
            write_atomically(Path({str(tmp_path)!r}) / "file", lambda p: {write})
        except OSError as error:
            print(error.filename, error.strerror)
    """
    mounted = f'mount -t tmpfs -o size=100k none {tmp_path} && "$0" -c "$1" && ls -A {tmp_path}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tmp_path / 'file'} No space left on device\n"
