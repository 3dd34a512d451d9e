"""Finesweep and its rivals, each as a process that turns a `Task` into an `Answer`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from search.record import SweepPaths
from tests.benchmarks.measuring import ROOT
from tests.benchmarks.rivals.environments import python_with
from tests.benchmarks.rivals.protocol import Answer, Task

SPACE = str(Path(__file__).with_name("space.toml"))


class NoModelError(Exception):
    """A contestant gave no model; the message has the last line that it wrote."""


@dataclass(frozen=True)
class Rival:
    """A module that speaks the `protocol`, and the Python that runs it."""

    name: str
    module: str
    package: str = ""
    """Package of an environment of its own; empty for the project's environment."""
    shares_project: bool = False
    """Whether that environment takes PyTorch and others from the project's."""

    def run(self, task: Task) -> Answer:
        """Run the rival. Raises `NotInstalledError` and `NoModelError`."""
        python = Path(sys.executable)
        if self.package:
            python = python_with(self.package, shares_project=self.shares_project)
        _run([str(python), "-m", f"benchmarks.rivals.{self.module}", *task.words()])
        return Answer.read(task.out)


RIVALS = (
    Rival("fastai", "run_fastai", "fastai", shares_project=True),
    Rival("linear probe", "run_probe"),
    Rival("docs-style Ray Tune", "run_docs_style"),
    Rival("AutoGluon", "run_autogluon", "autogluon.multimodal"),
)


def run_finesweep(task: Task) -> Answer:
    """Launch a sweep with an empty cache, two trials at a time, and the task's time as its budget.

    The clock starts when imports and Ray have started, as that of the rivals. A launch counts its
    budget from the start of its process, so it gets the time that `preflight` took for both on top.
    The clock stops when the retrained model has been tested and exported; the report comes later.
    The sweep tests on as many images as it validates on; its export then classifies all test
    images. Raises `NoModelError`.
    """
    _link_images(task)
    started = time.monotonic()
    _run([sys.executable, "-m", "search", "preflight", "--address", "local"])
    start = time.monotonic() - started
    work, began = task.out.parent, time.time()
    command = [sys.executable, "-m", "search", "launch", str(work / "images"), "--space", SPACE]
    command += ["--weights", str(task.weights), "--concurrent", "2", "--seed", str(task.seed)]
    command += ["--cache-dir", str(work / "cache"), "--results-dir", str(work), "--name", "sweep"]
    _run([*command, "--time-budget", f"{start + task.seconds:.0f}", "--export.formats", "timm"])
    paths = SweepPaths(work / "sweep")
    wall = (paths.export / "README.md").stat().st_mtime - began - start
    out = task.out.parent / "predictions.parquet"
    command = [sys.executable, "-m", "search", "predict", str(paths.export)]
    _run([*command, str(task.folder / "test"), "--out", str(out)])
    table = pd.read_parquet(out)
    names = [Path(path).name for path in table["path"]]
    member = json.loads(paths.metrics.read_text())["members"][0]
    params = member["params"]
    return Answer(
        seconds=wall,
        chosen=f"{params['backbone']} at {params['image_size']} px, "
        + ("a linear probe" if params["head"] == "solved" else f"unfreeze {params['unfreeze']:.2g}")
        + f", trial {member['trial_id']}",
        versions={},
        predictions=dict(zip(names, table["predicted"], strict=True)),
    )


def _link_images(task: Task) -> None:
    """Link the images that the sweep may open: all of train and val, and a part of test."""
    for file in (*task.files("train"), *task.files("val")):
        _link(file, task)
    for folder in sorted((task.folder / "test").iterdir()):
        count = len(list((task.folder / "val" / folder.name).iterdir()))
        for file in sorted(folder.iterdir())[:count]:
            _link(file, task)


def _link(file: Path, task: Task) -> None:
    link = task.out.parent / "images" / file.relative_to(task.folder)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(file.resolve())


def _run(command: Sequence[str]) -> None:
    """Run a command in the project's folder. Raises `NoModelError` if it fails.

    It finds the project's packages, and `benchmarks` without the package `tests` around it, because
    environments of rivals may hold a package of that name.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NoModelError(lines[-1] if lines else f"exit status {done.returncode}")
