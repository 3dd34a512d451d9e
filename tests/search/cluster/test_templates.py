"""The templates for clusters: they are well-formed, and their commands are ours."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml

from search.cli.flags import config_from_arguments
from search.cli.parser import make_parsers

CLUSTERS = Path(__file__).parents[3] / "search" / "cluster" / "templates"


def commands(text: str) -> list[list[str]]:
    """The words of every launch, resume and submission in a text."""
    one_line = re.sub(r"\s*\n\s*(?:#\s*)?(?=--)", " ", text)
    return [
        shlex.split(found.split(";")[0].replace("'", ""))
        for found in re.findall(r"finesweep ((?:launch|resume|submit) [^`\n]*)", one_line)
    ]


@pytest.mark.parametrize("name", ["README.md", "compose.yaml", "kuberay.yaml", "ray-up.yaml"])
def test_what_a_template_runs_is_a_command_of_ours(name: str) -> None:
    parser, _ = make_parsers()
    found = commands((CLUSTERS / name).read_text())
    assert found
    for words in found:
        args = parser.parse_args(words)
        inner = parser.parse_args(args.inner) if args.command == "submit" else args
        if inner.command == "launch" and inner.config is None:
            config_from_arguments(inner)


def test_the_slurm_script_is_one_that_bash_reads_and_its_options_are_ours() -> None:
    script = CLUSTERS / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    options = re.search(r"OPTIONS:-(.*)\}", script.read_text())
    assert options is not None
    parser, _ = make_parsers()
    config = config_from_arguments(parser.parse_args(["launch", "photos", *options[1].split()]))
    assert config.trials == 60


def test_the_launcher_s_file_is_as_ray_wants_it() -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(
        yaml.safe_load((CLUSTERS / "ray-up.yaml").read_text()), json.loads(schema.read_text())
    )


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python, pip and finesweep say what they were given."""
    commands, home = tmp_path / "bin", tmp_path / "home"
    (home / "env" / "bin").mkdir(parents=True)
    commands.mkdir()
    for file in (commands / "finesweep", commands / "python3", home / "env" / "bin" / "pip"):
        file.write_text('#!/bin/sh\nfor word; do echo "[$word]"; done\n')
        file.chmod(0o755)
    return {"HOME": str(home), "PATH": f"{commands}:{os.environ['PATH']}"}


def said(line: str, env: dict[str, str]) -> list[str]:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, check=True)
    return re.findall(r"\[(.*)\]", done.stdout)


def test_the_clouds_machines_install_what_was_brought(stand_in: dict[str, str]) -> None:
    for line in yaml.safe_load((CLUSTERS / "ray-up.yaml").read_text())["setup_commands"]:
        words = said(line, stand_in)
        if words:
            assert words[-1] == f"{stand_in['HOME']}/finesweep[cluster,onnx]"
    assert "env/bin" in Path(stand_in["HOME"], ".profile").read_text()


def test_a_job_of_kubernetes_launches_once_and_then_resumes(
    stand_in: dict[str, str], tmp_path: Path
) -> None:
    line = yaml.safe_load((CLUSTERS / "kuberay.yaml").read_text())["spec"]["entrypoint"]
    line = line.replace("/data", str(tmp_path))
    assert said(line, stand_in)[:2] == ["launch", f"{tmp_path}/photos"]
    (tmp_path / "results" / "photos").mkdir(parents=True)
    (tmp_path / "results" / "photos" / "sweep.json").touch()
    assert said(line, stand_in)[:2] == ["resume", "photos"]


def test_the_image_has_all_three_packages() -> None:
    text = (CLUSTERS / "Dockerfile").read_text()
    for package in ("spaces", "trainables", "search"):
        assert f"COPY {package} {package}" in text
