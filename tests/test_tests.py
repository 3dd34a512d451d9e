"""The plan of the tests: each asserts an outcome, and each module has a test module of its name."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGES = ("search", "spaces", "trainables")

ACROSS = {
    "search/cli/user_mistakes",
    "search/cluster/templates",
    "search/cluster/two_hosts",
    "search/notebook",
    "search/ranking/objectives",
    "search/resume",
    "search/tuning/faults",
    "trainables/data/data_readings",
    "trainables/training/on_a_gpu",
}
"""Test modules of what several modules do together, or of what needs special hardware."""

FILES = sorted(TESTS.rglob("test_*.py"))
ASSERTING = {"raises", "warns", "deprecated_call"}
"""Functions of pytest that assert an outcome."""
CHECKING = {"check_weights", "validate"}
"""Functions that return nothing or raise: returning is the outcome."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> dict[str, Function]:
    """The functions of a module by their names, those within classes and functions too."""
    return {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}


def called_name(call: ast.Call) -> str:
    """The last part of the name of what is called: "raises" of ``pytest.raises(...)``."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def asserts(
    function: Function, helpers: dict[str, Function], seen: frozenset[str] = frozenset()
) -> bool:
    """Whether a function asserts something, itself or in a helper that it calls."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if not isinstance(node, ast.Call):
            continue
        name = called_name(node)
        if name in ASSERTING | CHECKING or name.startswith("assert_"):
            return True
        if name in helpers and name not in seen and asserts(helpers[name], helpers, seen | {name}):
            return True
    return False


@cache
def support() -> dict[str, Function]:
    """The functions of tests/support, which test modules import."""
    helpers: dict[str, Function] = {}
    for file in sorted((TESTS / "support").glob("*.py")):
        helpers |= functions(ast.parse(file.read_text()))
    return helpers


def outcomes_of(file: Path) -> Iterator[tuple[str, bool]]:
    """Every test of a module, and whether it asserts something."""
    own = functions(ast.parse(file.read_text()))
    helpers = {n: f for n, f in (support() | own).items() if not n.startswith("test_")}
    for name, function in own.items():
        if name.startswith("test_"):
            yield name, asserts(function, helpers)


def modules_with_code() -> set[str]:
    """The modules that define a function or a method, as paths without their ending."""
    return {
        str(file.relative_to(ROOT).with_suffix(""))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if not file.stem.startswith("__") and functions(ast.parse(file.read_text()))
    }


def modules_with_tests() -> set[str]:
    """The modules for which the test modules are named, as paths without their ending."""
    return {
        str(file.relative_to(TESTS).with_name(file.stem.removeprefix("test_")))
        for package in PACKAGES
        for file in (TESTS / package).rglob("test_*.py")
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TESTS)))
def test_every_test_asserts_an_outcome(file: Path) -> None:
    assert [name for name, has_outcome in outcomes_of(file) if not has_outcome] == []


def test_a_test_without_an_outcome_is_found(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "def check(x):\n    assert x\n"
        "def loop():\n    return loop()\n"
        "def test_by_a_helper():\n    check(1)\n"
        "def test_by_raises():\n    with pytest.raises(ValueError):\n        f()\n"
        "def test_by_numpy():\n    np.testing.assert_allclose(a, b)\n"
        "def test_of_nothing():\n    loop()\n"
    )
    assert dict(outcomes_of(tmp_path / "test_it.py")) == {
        "test_by_a_helper": True,
        "test_by_raises": True,
        "test_by_numpy": True,
        "test_of_nothing": False,
    }


def test_every_module_has_a_test_module_of_its_name() -> None:
    assert modules_with_code() - modules_with_tests() == set()


def test_every_test_module_is_named_for_a_module() -> None:
    assert modules_with_tests() - modules_with_code() == ACROSS
