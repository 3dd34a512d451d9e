import importlib.metadata
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search import SweepResult
from search.cli import main
from search.cli import parser as cli
from search.cli.arguments import COMMANDS
from search.cli.parser import make_parsers, parse_arguments
from spaces import ConfigError, RunError
from tests.support.command_line import finesweep


@pytest.fixture
def no_new_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the logger as it was."""
    logger = logging.getLogger("finesweep")
    before = list(logger.handlers)
    yield
    logger.handlers[:] = before


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert finesweep("--version") == 0
    assert capsys.readouterr().out == f"finesweep {importlib.metadata.version('finesweep')}\n"


def test_without_a_command_the_help_lists_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert finesweep() == 0
    text = " ".join(capsys.readouterr().out.split())
    for command in COMMANDS:
        assert f"{command.name} {command.summary}" in text


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["lanch"], "Unknown command 'lanch'; did you mean 'launch'"),
        (["launch", "d", "--trails", "3"], "Unknown flag '--trails'; did you mean '--trials'"),
        (["launch", "d", "--trails=3"], "Unknown flag '--trails'"),
        (["launch", "d", "e"], "Unexpected argument 'e'; see finesweep launch --help"),
        (["--versoin"], "Unknown flag '--versoin'; did you mean '--version'"),
        (["retrain"], "The following arguments are required: SWEEP; see finesweep retrain --help"),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest_known_one(
    argv: list[str], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_arguments(argv)


def test_flags_are_not_abbreviated() -> None:
    with pytest.raises(ConfigError, match="Unknown flag '--max-ep'"):
        parse_arguments(["launch", "d", "--max-ep", "3"])


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (None, 0, ""),
        (ConfigError("Wrong."), 2, "Wrong.\n"),
        (RunError("Failed."), 1, "Failed.\n"),
        (KeyboardInterrupt(), 1, "Stopped.\n"),
        (BrokenPipeError(), 1, ""),
    ],
)
@pytest.mark.usefixtures("no_new_handlers")
def test_the_exit_status_says_whose_mistake_it_was(
    error: BaseException | None,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(argv: list[str]) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(cli, "_run", run)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert (ended.value.code, capsys.readouterr().err) == (status, told)
    assert os.environ["GOMP_SPINCOUNT"]


def test_every_command_has_a_parser_with_its_name() -> None:
    _, parsers = make_parsers()
    assert list(parsers) == [command.name for command in COMMANDS]


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount needs root and unshare"
)
@pytest.mark.parametrize("command", ["report", "retrain", "export"])
def test_a_sweep_on_a_disk_that_cannot_be_written_is_told_in_one_sentence(
    sweep: SweepResult, command: str, tmp_path: Path
) -> None:
    root = sweep.paths.root
    script = (
        f"mount --bind {root} {root} && mount -o remount,ro,bind {root} && "
        f"{sys.executable} -m search {command} {root}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "can't be read or written (Read-only file system)" in done.stderr
    if command == "report":
        page = tmp_path / "page.html"
        written = script + f" --out {page}"
        subprocess.run(["unshare", "--mount", "sh", "-c", written], check=True)
        assert page.exists()
