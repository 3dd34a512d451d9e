from pathlib import Path

import pytest

from search.record import SweepPaths, package_version, program_name, sweep_command


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell that finds the program."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


def test_the_program_is_called_by_its_name_if_the_shell_finds_it(installed: None) -> None:
    assert program_name() == "finesweep"


@pytest.mark.parametrize(
    ("script", "name"),
    [("bin/finesweep", "bin/finesweep"), ("finesweep.py", "python -m finesweep")],
)
def test_otherwise_the_program_is_called_as_it_was_started(
    script: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / script), "launch"])
    assert program_name() == name


def test_a_command_names_the_results_folder_unless_it_is_the_default(
    installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = SweepPaths(tmp_path / "results" / "photos")
    assert sweep_command("resume", here) == "finesweep resume photos"
    assert sweep_command("retrain", here, "--trial", "3") == "finesweep retrain photos --trial 3"
    elsewhere = SweepPaths(tmp_path / "other" / "photos")
    expected = f"finesweep resume photos --results-dir {tmp_path / 'other'}"
    assert sweep_command("resume", elsewhere) == expected
    spaced = SweepPaths(tmp_path / "my results" / "photos")
    expected = f"finesweep resume photos --results-dir '{tmp_path / 'my results'}'"
    assert sweep_command("resume", spaced) == expected


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert package_version("pytest") == pytest.__version__
    assert package_version("no-such-package") is None
