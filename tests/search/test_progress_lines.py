import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from search import progress_lines
from search.progress_lines import ProgressLines


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The clock: its last number is the time."""
    now = [0.0]
    monkeypatch.setattr(progress_lines.time, "monotonic", lambda: now[-1])
    yield now


def test_a_step_is_one_line_that_is_redrawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = ProgressLines()
    show("starting Ray", 0, 0)
    for done in range(1, 4):
        show("decoding", done, 3)
    drawn = capsys.readouterr().err.replace("\x1b[K", "")
    assert drawn == ("starting Ray ...\n\rdecoding: 1 of 3\rdecoding: 2 of 3\rdecoding: 3 of 3\n")


def test_a_long_step_is_redrawn_once_per_percent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = ProgressLines()
    for done in range(1, 1001):
        show("decoding", done, 1000)
    assert capsys.readouterr().err.count("\r") == 100


def test_a_long_step_has_a_line_in_a_file_now_and_then_with_the_time_that_is_left(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    show = ProgressLines()
    for done in range(0, 61):
        seconds.append(float(done))
        show("reading images", 100 * done, 6000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "reading images: 200 of 6000, about 58.0 s left",
        "reading images: 1200 of 6000, about 48.0 s left",
    ]
    assert len(lines) == 6


def test_a_short_step_has_no_line_in_a_file(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    show = ProgressLines()
    show("starting Ray", 0, 0)
    for done in (1, 2, 3):
        show("decoding", done, 3)
    assert capsys.readouterr().err == ""


def test_each_step_has_its_own_clock(
    seconds: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    show = ProgressLines()
    show("reading images", 0, 10)
    seconds.append(100.0)
    show("decoding images", 5, 10)
    assert capsys.readouterr().err == ""


def test_a_step_of_unknown_length_has_a_line_in_a_notebook(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_lines, "Console", lambda: Console(force_jupyter=True))
    show = ProgressLines()
    show("retraining", 0, 0)
    show("decoding", 1, 3)
    assert capsys.readouterr().err == "retraining ...\n"
