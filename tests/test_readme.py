"""The documents are true: their commands parse, their code runs, their links lead somewhere."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from search import SweepResult
from search.cli.parser import make_parsers
from search.config import read_toml
from spaces import Candidates, SearchSpace
from tests.support.simulated_tune import run, simulated_tune

ROOT = Path(__file__).parent.parent
DOCS = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
GUIDES = ["README.md", *DOCS]
PAGES = [
    *GUIDES,
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "results/README.md",
    "search/cluster/templates/README.md",
]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_the_tree_names_every_module_and_no_other() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("## The house")[2]
    trees = re.findall(r"```text\n(.*?)```", tree, re.DOTALL)
    named = set(re.findall(r"\b(\w+\.py)\b", "".join(trees)))
    there = {p.name for d in ("spaces", "trainables", "search") for p in (ROOT / d).rglob("*.py")}
    there |= {file.name for file in ROOT.glob("*.py")}
    assert named == {name for name in there if not name.startswith("__")}


@pytest.mark.parametrize("page", GUIDES)
def test_every_command_of_a_page_is_one(page: str) -> None:
    parser, _ = make_parsers()
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            program, *words = shlex.split(line, comments=True)
            if program == "make":
                assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            elif program != "source":
                assert program == "finesweep"
                parser.parse_args(words)


@pytest.mark.parametrize("page", GUIDES)
def test_every_flag_of_a_page_exists(page: str) -> None:
    _, commands = make_parsers()
    known = {flag for command in commands.values() for flag in command.flags}
    ours = re.sub(r"`ray [^`]*`", "", (ROOT / page).read_text())
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]+", ours))
    assert used <= known


def test_the_spaces_of_the_documents_are_valid(tmp_path: Path) -> None:
    spaces = []
    for block in blocks("docs/spaces.md", "toml"):
        (tmp_path / "mine.toml").write_text(block)
        spaces.append(SearchSpace.load(str(tmp_path / "mine.toml")))
    plain, auto, conditional = spaces
    assert set(plain.open) == {"backbone", "unfreeze", "learning_rate"}
    assert isinstance(auto.dimensions["backbone"], Candidates)
    assert set(conditional.dependencies) == {"learning_rate", "drop_path"}


def test_the_points_of_the_documents_are_some() -> None:
    (block,) = blocks("docs/spaces.md", "json")
    space = SearchSpace.load("demo")
    for point in json.loads(block):
        assert space.params(point, native_image_size=dict.fromkeys(space.backbones, 224))


class WandbRun:
    """A run of a small stand-in for W&B."""

    def __init__(self, **given: Any) -> None:
        self.given, self.summary = given, dict[str, Any]()
        self.logged: dict[int, dict[str, float]] = {}
        self.exit_code: int | None = None

    def log(self, values: dict[str, float], step: int) -> None:
        self.logged[step] = values

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


def test_the_observer_for_wandb_shows_a_trial_as_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [code for code in blocks("docs/extending.md", "python") if "import wandb" in code]
    assert len(block.splitlines()) <= 30
    runs: list[WandbRun] = []

    def init(**given: Any) -> WandbRun:
        runs.append(WandbRun(**given))
        return runs[-1]

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    names: dict[str, Any] = {}
    exec(compile(block, "docs/extending.md", "exec"), names)
    observer = names["WandbObserver"]("mine")
    run(simulated_tune(tmp_path, observers=[observer]), "x", 0.5, 0.9)
    (shown,) = runs
    assert {k: shown.given[k] for k in ("id", "group")} == {"id": "mine-0000", "group": "mine"}
    assert "unfreeze" in shown.given["config"]
    assert {step: values["val_accuracy"] for step, values in shown.logged.items()} == {
        1: 0.5,
        2: 0.9,
    }
    assert (shown.summary["status"], shown.exit_code) == ("completed", 0)


def test_the_demos_settings_are_valid() -> None:
    from search.config import SweepConfig

    config = SweepConfig.parse({**read_toml(ROOT / "examples" / "elpv.toml"), "data": "d"})
    assert (config.trials, config.space) == (16, "demo")


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(
    tmp_path: Path, digits: Path, ray_cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks("README.md", "python")
    small = f'{{"results_dir": r"{tmp_path}", "weights": "untrained", "gpus_per_trial": 0, '
    code = block.replace("data/elpv", str(digits)).replace("parse({", f"parse({small}")
    exec(compile(code, "README.md", "exec"), {})
    assert "params.backbone" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in DOCS if blocks(page, "python")])
def test_the_python_of_a_page_runs(
    page: str,
    sweep: SweepResult,
    digits: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = blocks(page, "python")
    shutil.copytree(digits, tmp_path / "data" / "cells")
    shutil.copytree(sweep.paths.root, tmp_path / "results" / "cells")
    Image.open(next(digits.rglob("*.png"))).save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace())  # another test runs its observer
    for number, block in enumerate(code):
        exec(compile(block, f"{page}, block {number}", "exec"), {})
        assert len(capsys.readouterr().out.splitlines()) >= block.count("print(")
