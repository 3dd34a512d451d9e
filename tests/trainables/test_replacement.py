from collections.abc import Iterator
from pathlib import Path

import pytest

from trainables.replacement import (
    begin_replacing,
    commit_replacing,
    finish_replacing,
    replacing,
    staging_folder,
)

OLD = {"card": "old", "a/model": "old", "a/extra": "old", "mine": "mine"}
NEW = {"card": "new", "a/model": "new", "b/labels": "new"}
OWNED = ("card", "a/*", "b/*")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of old files, one of which nobody replaces."""
    write(tmp_path, OLD)
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def files_in(folder: Path) -> dict[str, str]:
    """Contents of all files, except those in partial folders."""
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file() and ".partial" not in str(file)
    }


def test_new_files_replace_all_owned_ones_and_leave_others(folder: Path) -> None:
    write(begin_replacing(folder), NEW)
    assert files_in(folder) == OLD, "nothing is in place yet"
    commit_replacing(folder, OWNED)
    assert files_in(folder) == {**NEW, "mine": "mine"}
    assert not list(folder.rglob("*.partial"))


def test_what_a_failing_block_has_written_is_deleted(folder: Path, tmp_path: Path) -> None:
    for place in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="full"), replacing(place, OWNED) as staging:
            write(staging, {"card": "half"})
            raise OSError("The disk is full.")
    assert files_in(folder) == OLD
    assert not (tmp_path / "new").exists()
    with replacing(tmp_path / "new", OWNED) as staging:
        write(staging, NEW)
    assert files_in(tmp_path / "new") == NEW


def test_an_interrupted_beginning_leaves_the_old_files(folder: Path) -> None:
    write(begin_replacing(folder), {"card": "half"})
    finish_replacing(folder)
    assert files_in(folder) == OLD
    assert not list(begin_replacing(folder).iterdir()), "the next one begins anew"
    assert staging_folder(folder).is_dir()


@pytest.mark.parametrize("moment", range(2, 7))
def test_a_replacement_that_is_killed_while_files_are_moved_is_finished(
    folder: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """The list of files is written in two steps; then three files are moved and two deleted."""

    def dying(steps: Iterator[int]) -> None:
        if next(steps) == moment:
            raise KeyboardInterrupt

    steps, replace, unlink = iter(range(9)), Path.replace, Path.unlink
    write(begin_replacing(folder), NEW)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "replace", lambda *given: (dying(steps), replace(*given)))
        patched.setattr(
            Path, "unlink", lambda *given, **also: (dying(steps), unlink(*given, **also))
        )
        commit_replacing(folder, (*OWNED, "mine"))
    finish_replacing(folder)
    assert files_in(folder) == NEW
    assert not list(folder.rglob("*.partial"))
