import sys

import pytest

from search.cli.terminal_progress import terminal_progress


def test_a_step_of_progress_is_one_line_that_is_redrawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = terminal_progress()
    show("starting Ray", 0, 0)
    for done in range(1, 4):
        show("decoding", done, 3)
    drawn = capsys.readouterr().err
    assert drawn == ("starting Ray ...\n\rdecoding: 1 of 3\rdecoding: 2 of 3\rdecoding: 3 of 3\n")


def test_a_long_step_is_redrawn_once_per_percent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = terminal_progress()
    for done in range(1, 1001):
        show("decoding", done, 1000)
    assert capsys.readouterr().err.count("\r") == 100


def test_a_file_gets_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    terminal_progress()("decoding", 3, 3)
    assert capsys.readouterr().err == ""
