import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.record import log_to_file

LOG = logging.getLogger("finesweep")


@pytest.fixture(autouse=True)
def handlers_restored() -> Iterator[None]:
    before, level = list(LOG.handlers), LOG.level
    LOG.handlers.clear()
    yield
    for handler in LOG.handlers:
        handler.close()
    LOG.handlers[:] = before
    LOG.setLevel(level)


def test_each_sweep_of_a_process_has_its_own_log(tmp_path: Path) -> None:
    log_to_file(tmp_path / "first.log")
    LOG.info("one")
    log_to_file(tmp_path / "second.log")
    LOG.info("two")
    (line,) = (tmp_path / "first.log").read_text().splitlines()
    assert line.endswith("INFO one")
    (line,) = (tmp_path / "second.log").read_text().splitlines()
    assert line.endswith("INFO two")


def test_a_resume_appends_to_the_log(tmp_path: Path) -> None:
    for message in ("launched", "resumed"):
        log_to_file(tmp_path / "sweep.log")
        LOG.info(message)
    lines = (tmp_path / "sweep.log").read_text().splitlines()
    assert [line.split()[-1] for line in lines] == ["launched", "resumed"]


def test_only_warnings_are_shown_where_nobody_has_set_up_logging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LOG, "propagate", False)  # pytest has set it up
    for name in ("first.log", "second.log"):
        log_to_file(tmp_path / name)
        LOG.info("a round")
        LOG.warning("a doubt")
        assert capsys.readouterr().err == "a doubt\n"
    monkeypatch.setattr(LOG, "propagate", True)
    log_to_file(tmp_path / "third.log")
    LOG.warning("a doubt")
    assert capsys.readouterr().err == ""
