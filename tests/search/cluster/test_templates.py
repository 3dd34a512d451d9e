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
    """Arguments of every launch, resume and submit command in a text."""
    one_line = re.sub(r"\s*\n\s*(?:#\s*)?(?=--)", " ", text)
    return [
        shlex.split(found.split(";")[0].replace("'", ""))
        for found in re.findall(r"finesweep ((?:launch|resume|submit) [^`\n]*)", one_line)
    ]


@pytest.mark.parametrize("name", ["README.md", "compose.yaml", "kuberay.yaml", "ray-up.yaml"])
def test_every_finesweep_command_in_a_template_exists(name: str) -> None:
    parser, _ = make_parsers()
    found = commands((CLUSTERS / name).read_text())
    assert found
    for words in found:
        args = parser.parse_args(words)
        inner = parser.parse_args(args.inner) if args.command == "submit" else args
        if inner.command == "launch" and inner.config is None:
            config_from_arguments(inner)


def test_the_slurm_script_parses_and_uses_existing_options() -> None:
    script = CLUSTERS / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    options = re.search(r"OPTIONS:-(.*)\}", script.read_text())
    assert options is not None
    parser, _ = make_parsers()
    config = config_from_arguments(parser.parse_args(["launch", "photos", *options[1].split()]))
    assert config.trials == 60


def test_the_file_for_the_cluster_launcher_fits_rays_schema() -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(
        yaml.safe_load((CLUSTERS / "ray-up.yaml").read_text()), json.loads(schema.read_text())
    )


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python, pip and finesweep print their arguments."""
    commands, home = tmp_path / "bin", tmp_path / "home"
    (home / "env" / "bin").mkdir(parents=True)
    commands.mkdir()
    for file in (commands / "finesweep", commands / "python3", home / "env" / "bin" / "pip"):
        file.write_text('#!/bin/sh\nfor word; do echo "[$word]"; done\n')
        file.chmod(0o755)
    return {"HOME": str(home), "PATH": f"{commands}:{os.environ['PATH']}"}


def arguments_of(line: str, env: dict[str, str]) -> list[str]:
    """Arguments that a shell line passes to the stand-ins."""
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=env, check=True)
    return re.findall(r"\[(.*)\]", done.stdout)


def test_machines_of_a_cloud_install_the_uploaded_code(stand_in: dict[str, str]) -> None:
    for line in yaml.safe_load((CLUSTERS / "ray-up.yaml").read_text())["setup_commands"]:
        words = arguments_of(line, stand_in)
        if words:
            assert words[-1] == f"{stand_in['HOME']}/finesweep[cluster,onnx]"
    assert "env/bin" in Path(stand_in["HOME"], ".profile").read_text()


def test_a_kubernetes_job_launches_once_and_then_resumes(
    stand_in: dict[str, str], tmp_path: Path
) -> None:
    line = yaml.safe_load((CLUSTERS / "kuberay.yaml").read_text())["spec"]["entrypoint"]
    line = line.replace("/data", str(tmp_path))
    assert arguments_of(line, stand_in)[:2] == ["launch", f"{tmp_path}/photos"]
    (tmp_path / "results" / "photos").mkdir(parents=True)
    (tmp_path / "results" / "photos" / "sweep.json").touch()
    assert arguments_of(line, stand_in)[:2] == ["resume", "photos"]


def test_the_image_contains_all_three_packages() -> None:
    text = (CLUSTERS / "Dockerfile").read_text()
    for package in ("spaces", "trainables", "search"):
        assert f"COPY {package} {package}" in text


def test_the_containers_are_built_from_the_root_of_the_repository() -> None:
    build = yaml.safe_load((CLUSTERS / "compose.yaml").read_text())["services"]["head"]["build"]
    context = (CLUSTERS / build["context"]).resolve()
    assert (context / "pyproject.toml").is_file()
    assert (context / build["dockerfile"]).samefile(CLUSTERS / "Dockerfile")
