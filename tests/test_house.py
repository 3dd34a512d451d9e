"""The borders between the packages, and what they cost to import."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "spaces": {"trainables", "search", "ray", "torch", "timm"},
    "trainables": {"search", "ray"},
    "search": set(),
}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_down_the_house(package: str) -> None:
    for file in (ROOT / package).rglob("*.py"):
        assert not imported(file) & FORBIDDEN[package], file


@pytest.mark.parametrize(
    "command", ["import spaces", "import search.cli.parser", "import search.config.settings"]
)
def test_light_modules_import_nothing_heavy(command: str) -> None:
    heavy = {"torch", "ray", "timm", "optuna", "pandas"}
    code = f"import sys; {command}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(out.stdout.split())


@pytest.mark.parametrize("module", ["words", "leaderboard", "study", "storage"])
def test_what_only_reads_sweeps_trains_nothing(module: str) -> None:
    code = f"import sys, search.{module}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "timm"} & set(out.stdout.split())


def test_help_answers_at_once() -> None:
    """Loose on purpose: a guard against a heavy import, not a timing."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "search", "--help"], check=True, capture_output=True)
    assert time.perf_counter() - began < 5
