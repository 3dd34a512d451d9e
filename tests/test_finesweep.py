"""Finesweep where a user's own files have the names of its packages."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from search import SweepConfig
from search.config import launch_arguments

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with modules of these names, which must not be imported."""
    (tmp_path / "spaces").mkdir()
    for name in ("search.py", "trainables.py", "spaces/__init__.py"):
        (tmp_path / name).write_text("WHOSE = 'the user'\n")
    return tmp_path


def run_in(folder: Path, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run Python in a folder that comes first on the path, before Finesweep's."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_runs_beside_files_with_the_names_of_its_packages(folder: Path) -> None:
    done = run_in(folder, "-m", "finesweep", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("finesweep ")


def test_a_script_beside_such_files_gets_ours_by_our_own_name(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from finesweep import SweepConfig\nimport finesweep, sys\n"
        "print(SweepConfig.__module__, '' in sys.path, hasattr(finesweep, 'more'))\n"
    )
    done = run_in(folder, "mine.py")
    assert done.stdout == "search.config.settings False False\n", done.stderr


def test_a_package_that_was_imported_before_is_named(folder: Path) -> None:
    done = run_in(folder, "-c", "import search; print(search.WHOSE); import finesweep")
    assert done.stdout == "the user\n"
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"ImportError: Finesweep's package 'search' can't be imported, because {folder}/search.py "
        "was imported by that name before; import finesweep first, or rename that file."
    )


@pytest.mark.slow
@pytest.mark.parametrize("where", ["local", "cluster"])
def test_a_sweep_runs_beside_files_with_the_names_of_its_packages(
    where: str, folder: Path, settings: dict[str, Any], ray_cluster: None
) -> None:
    address = ray.get_runtime_context().gcs_address if where == "cluster" else "local"
    changes = {"trials": 1, "max_epochs": 1, "points": None, "retrain": False}
    changes |= {"address": address, "concurrent": 1}
    config = SweepConfig.parse({**settings, **changes})
    done = run_in(folder, "-m", "finesweep", "launch", *launch_arguments(config), "--name", where)
    assert done.returncode == 0, done.stderr
    assert "\n0000,completed," in (folder / "results" / where / "trials.csv").read_text()
