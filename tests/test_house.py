"""The plan of the house: which room may import which, through which doors, and at what cost."""

import ast
import importlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "trainables.images": set(),
    "trainables.listing": set(),
    "trainables.evaluation": set(),
    "trainables.folders": {"trainables.listing", "trainables.images"},
    "trainables.tables": {"trainables.listing", "trainables.images"},
    "trainables.archives": {
        "trainables.tables",
        "trainables.folders",
        "trainables.listing",
        "trainables.images",
    },
    "trainables.data": {
        "trainables.archives",
        "trainables.tables",
        "trainables.folders",
        "trainables.listing",
        "trainables.images",
    },
    "trainables.models": {"trainables.images"},
    "trainables.inputs": {"trainables.models", "trainables.data"},
    "trainables.training": {
        "trainables.inputs",
        "trainables.models",
        "trainables.data",
        "trainables.evaluation",
    },
    "trainables.inference": {
        "trainables.models",
        "trainables.images",
        "trainables.evaluation",
    },
    "search.config": set(),
    "search.cluster": set(),
    "search.record": {"search.config"},
    "search.samplers": {"search.config"},
    "search.trial": {"search.record", "search.cluster", "search.config"},
    "search.ranking": {"search.record", "search.config"},
    "search.planning": {"search.ranking", "search.record", "search.config"},
    "search.report": {"search.ranking", "search.record", "search.config"},
    "search.final": {"search.trial", "search.record", "search.cluster", "search.config"},
    "search.tuning": {
        "search.planning",
        "search.trial",
        "search.ranking",
        "search.samplers",
        "search.record",
        "search.cluster",
        "search.config",
    },
    "search.cli": {
        "search.planning",
        "search.ranking",
        "search.record",
        "search.cluster",
        "search.config",
    },
}
"""The rooms, and of the rooms in the same package those that each may import."""

GROUND = {
    "trainables.process_limits",
    "trainables.files",
    "trainables.process",
    "trainables.progress",
    "trainables.replacement",
    "trainables.stratification",
}
"""Modules beside the rooms of `trainables`, which every room may import."""
TOP = {
    "search.sweep",
    "search.preparation",
    "search.operations",
    "search.progress_lines",
    "search.result",
}
"""Modules above the rooms of `search`; of the rooms only the command line may import them."""
BELOW = {"spaces": set(), "trainables": {"spaces"}, "search": {"spaces", "trainables"}}
"""The packages, and those that each may import."""
FORBIDDEN = {"spaces": {"ray", "torch", "timm"}, "trainables": {"ray"}, "search": set()}


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Every import of a file, also within functions: the module, and the name taken from it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def room_of(module: str) -> str | None:
    """The room that a module lies in, or is the door of."""
    name = ".".join(module.split(".")[:2])
    return name if name in MAY_IMPORT else None


def modules(package: str) -> Iterator[tuple[Path, str]]:
    """Every file of a package, and its module's name."""
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        yield file, ".".join(parts).removesuffix(".__init__")


def exported(room: str) -> list[tuple[str, str]]:
    """What is listed on a room's door: modules and names."""
    stub = ROOT.joinpath(*room.split("."), "__init__.pyi")
    nodes = [n for n in ast.parse(stub.read_text()).body if isinstance(n, ast.ImportFrom)]
    return [(node.module or "", alias.name) for node in nodes for alias in node.names]


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_down_the_house(package: str) -> None:
    packages = set(BELOW) - {package} - BELOW[package]
    for file, _ in modules(package):
        roots = {module.partition(".")[0] for module, _ in imports(file)}
        assert not roots & (packages | FORBIDDEN[package]), file


def test_every_folder_is_a_room_of_the_plan() -> None:
    for package in ("search", "trainables"):
        folders = {f"{package}.{init.parent.name}" for init in (ROOT / package).glob("*/*.py")}
        assert folders == {room for room in MAY_IMPORT if room.startswith(f"{package}.")}
    beside = {name for package in ("search", "trainables") for _, name in modules(package)}
    beside = {name for name in beside if not room_of(name) and "." in name}
    assert beside == GROUND | TOP | {"search.__main__"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    package = room.partition(".")[0]
    for file, module in modules(package):
        if room_of(module) != room:
            continue
        for imported, _ in imports(file):
            other = room_of(imported)
            if other and other != room and other.startswith(package):
                assert other in MAY_IMPORT[room], f"{file} imports {imported}"
            if imported in TOP:
                assert room == "search.cli", f"{file} imports {imported}"


@pytest.mark.parametrize("package", ["search", "trainables"])
def test_rooms_are_entered_by_their_doors(package: str) -> None:
    for file, module in modules(package):
        for imported, name in imports(file):
            other = room_of(imported)
            if other is None or other == room_of(module):
                continue
            assert imported == other, f"{file} reaches past the door of {other}: {imported}"
            assert name in {known for _, known in exported(other)}, f"{file}: {other} has no {name}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_door_opens_on_what_it_lists(room: str) -> None:
    door, listed = importlib.import_module(room), exported(room)
    assert door.__doc__ and len(door.__doc__) > 40, "a door says what its room is for"
    assert set(door.__all__) == {name for _, name in listed}
    inside = {file.stem for file in Path(str(door.__file__)).parent.glob("*.py")}
    for _, name in listed:
        assert not name.startswith("_")
        assert name not in inside, "a name must not hide a module"
        assert getattr(door, name) is not None


def test_nothing_is_on_a_door_that_nobody_asks_for() -> None:
    asked = {
        (imported, name)
        for package in ("search", "trainables", "tests")
        for file, module in modules(package)
        for imported, name in imports(file)
        if room_of(imported) and room_of(imported) != room_of(module)
    }
    asked |= {("search.cli", "main")}  # by the script of pyproject.toml
    for room in MAY_IMPORT:
        for _, name in exported(room):
            assert (room, name) in asked, f"{name} of {room}"


def loaded_by(command: str) -> set[str]:
    """The modules that a process has loaded after a command."""
    code = f"import sys; {command}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


@pytest.mark.parametrize(
    "command",
    [
        "import spaces",
        "from search.cli import main",
        "from search.config import SweepConfig",
        "from search import SweepConfig",
        "from trainables.training import RoundReport",
    ],
)
def test_light_modules_import_nothing_heavy(command: str) -> None:
    assert not {"torch", "ray", "timm", "optuna", "pandas"} & loaded_by(command)


@pytest.mark.parametrize(
    "command",
    [
        "import search.cli.output",
        "from search.ranking import write_tables",
        "from search.record import read_trials, FinalModel, mirror_of",
    ],
)
def test_what_only_reads_sweeps_trains_nothing(command: str) -> None:
    assert not {"torch", "ray", "timm"} & loaded_by(command)


def test_a_worker_imports_what_trains_and_no_more() -> None:
    loaded = loaded_by("import search.trial.trainable")
    assert {"torch", "ray", "timm"} <= loaded
    assert not {"optuna", "sklearn", "scipy.optimize", "matplotlib", "tensorboard"} & loaded


def test_help_answers_at_once() -> None:
    """Loose on purpose: a guard against a heavy import, not a timing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "search", "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5
