import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from search import Sweep, SweepConfig, SweepResult
from search.cli.output import result_text
from search.record import (
    ResolvedSettings,
    SweepPaths,
    TrialRecord,
    hold_driver_lock,
    load_sweep_config,
    read_trials,
)
from spaces import ConfigError, SearchSpace
from tests.support.command_line import finesweep, flags
from trainables.data import Dataset

pytestmark = pytest.mark.slow

WORKER_TITLES = ("ray::ResourceTrainable", "ray::FineTuneTrial")
"""Titles of a worker's process: in a step of its trial, and between two."""


def launch(settings: dict[str, Any], folder: Path, **more: object) -> subprocess.Popen[bytes]:
    """Launch a sweep called "killed" in a process of its own."""
    values = {**settings, "name": "killed", "results_dir": folder, **more}
    command = [sys.executable, "-m", "search", "launch", str(settings["data"]), *flags(values)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_when(running: subprocess.Popen[bytes], journal: Path, reached: Any) -> list[TrialRecord]:
    """Kill -9 as soon as ``reached(trials)`` of the journal's trials; the trials after that."""
    until = time.monotonic() + 300
    while time.monotonic() < until and not reached(read_trials(journal)):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    running.kill()
    running.communicate()
    return read_trials(journal)


def entries(journal: Path) -> Counter[tuple[int, str]]:
    """Number of times each epoch was written, by Optuna's trial id and the epoch's key."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return Counter(
        (line["trial_id"], key)
        for line in lines
        for key in line.get("user_attr", {})
        if key.startswith("epoch_")
    )


def test_a_killed_driver_loses_no_trial_and_runs_no_epoch_twice(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "killed")
    trials = {"trials": 6, "max_epochs": 6, "stopping": "none"}
    running = launch(settings, tmp_path, **trials, retrain=False)

    def one_completed_and_one_running(trials: list[TrialRecord]) -> bool:
        statuses = [t.status for t in trials]
        return "completed" in statuses and any(
            t.status == "running" and t.reports for t in trials[:-1]
        )

    before = kill_when(running, paths.journal, one_completed_and_one_running)
    assert finesweep("launch", settings["data"], "--name", "killed", "--results-dir", tmp_path) == 2
    assert finesweep("resume", "killed", "--results-dir", tmp_path) == 0
    after = read_trials(paths.journal)
    assert [t.status for t in after] == ["completed"] * 6
    for old, new in zip(before, after, strict=False):
        assert new.params == old.params
        assert new.reports[: len(old.reports)] == old.reports
    assert all([r.epoch for r in t.reports] == [1, 2, 3, 4, 5, 6] for t in after)
    assert set(entries(paths.journal).values()) == {1}
    assert list(paths.checkpoints.iterdir()) == []
    assert pd.read_parquet(paths.trials)["status"].tolist() == ["completed"] * 6
    assert "resumed: " in paths.log.read_text()

    assert finesweep("resume", "killed", "--results-dir", tmp_path, "--trials", "8") == 0
    more = read_trials(paths.journal)
    assert more[:6] == after, "finished trials stay as they are"
    assert [t.status for t in more] == ["completed"] * 8
    assert finesweep("resume", "killed", "--results-dir", tmp_path, "--trials", "7") == 2


def test_settings_that_would_change_results_are_refused_by_name(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["resume", "digits", "--results-dir", sweep.paths.root.parent]
    assert finesweep(*words, "--max-epochs", "9", "--trials", "9", "--seed", "3") == 2
    assert "max_epochs, seed can't change in a sweep that has begun" in capsys.readouterr().err


def test_a_finished_sweep_is_not_trained_again(sweep: SweepResult, tmp_path: Path) -> None:
    paths = SweepPaths(tmp_path / "copy")
    shutil.copytree(sweep.paths.root, paths.root)
    metrics, profile = paths.metrics.stat().st_mtime_ns, paths.profile.read_bytes()
    again = Sweep.existing(paths).resume()
    assert again.final == sweep.final
    assert again.trials.equals(sweep.trials)
    assert paths.metrics.stat().st_mtime_ns == metrics
    assert again.profile is not None
    assert again.profile.worker_seconds.train == 0, "what ran before is not counted again"
    assert paths.profile.read_bytes() == profile, "where the time went is not forgotten"
    assert "No trial was left to run" in result_text(again, load_sweep_config(paths))


def test_a_resume_keeps_the_requested_settings(
    sweep: SweepResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    results, earlier = tmp_path / "results", tmp_path / "earlier.toml"
    shutil.copy(settings["space"], earlier)
    shutil.copytree(sweep.paths.root, results / "before")
    values = {**settings, "space": str(earlier), "results_dir": results, "confirm": 0}
    values |= {"max_epochs": 1, "retrain": False}
    asked = SweepConfig.parse({**values, "name": "asked", "prior": ["before"], "trials": 2})
    first = Sweep(asked).run().paths
    resolved, points = first.resolved.read_bytes(), first.initial_points.read_bytes()
    earlier.unlink()
    (results / "before").rename(tmp_path / "gone")
    moved = SweepPaths((results / "asked").rename(tmp_path / "moved"))
    again = Sweep.existing(moved, {"trials": 3}).resume()
    assert len(again.trials) == 3
    kept = SweepConfig.parse(json.loads(moved.config.read_text()))
    assert kept == asked.model_copy(update={"trials": 3})
    assert (kept.metric, kept.starts, kept.space) == ("auto", True, str(earlier))
    assert moved.resolved.read_bytes() == resolved
    determined = ResolvedSettings("val_accuracy", asked.sampler_seed, 1)
    assert json.loads(resolved) == asdict(determined)
    assert asked.sampler_seed != asked.seed, "an earlier sweep moves it"
    assert moved.initial_points.read_bytes() == points


@pytest.mark.parametrize("change", ["renamed", "added"])
def test_resuming_with_other_classes_is_refused(
    sweep: SweepResult, digits: Path, tmp_path: Path, change: str
) -> None:
    paths = SweepPaths(tmp_path / "copy")
    shutil.copytree(sweep.paths.root, paths.root)
    shutil.copytree(digits, tmp_path / "data")
    if change == "renamed":
        (tmp_path / "data" / "one").rename(tmp_path / "data" / "uno")
    else:
        shutil.copytree(tmp_path / "data" / "one", tmp_path / "data" / "uno")
        for file in (tmp_path / "data" / "uno").iterdir():
            file.write_bytes(file.read_bytes() + b" ")
    before = paths.dataset.read_bytes()
    with pytest.raises(ConfigError, match=r"classes in .* are not those .* \(new: uno"):
        Sweep.existing(paths, {"data": str(tmp_path / "data")}).resume()
    assert paths.dataset.read_bytes() == before


def test_formats_that_a_finished_sweep_lacks_are_exported(
    sweep: SweepResult, tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "copy")
    shutil.copytree(sweep.paths.root, paths.root)
    tested = paths.metrics.stat().st_mtime_ns
    Sweep.existing(paths, {"export.formats": ["timm", "torchscript"]}).resume()
    made = {path.name for path in paths.export.glob("model.*")}
    assert made == {"model.safetensors", "model.torchscript"}
    assert paths.metrics.stat().st_mtime_ns == tested, "retrained nothing"


def test_a_second_driver_is_refused_with_the_process_id_of_the_first(sweep: SweepResult) -> None:
    with hold_driver_lock(sweep.paths):
        with pytest.raises(ConfigError, match=rf"being run by process {os.getpid()} on \S+; wait"):
            Sweep.existing(sweep.paths).resume()
        assert json.loads(sweep.paths.driver.read_text())["pid"] == os.getpid()
    assert not sweep.paths.driver.exists()


def test_a_moved_sweep_can_be_resumed_but_not_with_other_images(
    settings: dict[str, Any], ray_cluster: None, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(settings["data"], data)
    values = {**settings, "data": data, "name": "here", "results_dir": tmp_path, "retrain": False}
    values |= {"weights": weights_of(SearchSpace.load(settings["space"]), tmp_path / "weights")}
    Sweep(SweepConfig.parse({**values, "trials": 2})).run()
    (tmp_path / "here").rename(tmp_path / "there")
    for k, file in enumerate(sorted((data / "one").iterdir(), reverse=True)):
        file.rename(file.with_name(f"renamed-{k:03}.png"))
    moved = SweepPaths(tmp_path / "there")
    before = Dataset.read(moved.dataset, moved.split).digests
    assert len(Sweep.existing(moved, {"trials": 3}).resume().trials) == 3
    renamed = Dataset.read(moved.dataset, moved.split)
    assert renamed.digests == before, "the rows keep their order, whatever the files are called"
    assert any("renamed" in path for path in renamed.paths)
    (tmp_path / "weights").rename(tmp_path / "elsewhere")
    changes = {"weights": str(tmp_path / "elsewhere"), "trials": 4}
    assert len(Sweep.existing(moved, changes).resume().trials) == 4
    with pytest.raises(ConfigError, match=r"The weights of test_\S+ \(none .*are not those that"):
        Sweep.existing(moved, {"weights": "untrained"}).resume()
    next((data / "one").iterdir()).unlink()
    with pytest.raises(ConfigError, match="are not those that the sweep 'there' was launched with"):
        Sweep.existing(moved, {"trials": 5}).resume()


def weights_of(space: SearchSpace, folder: Path) -> str:
    """A folder with weights of every backbone, all unlike those of a new model."""
    folder.mkdir()
    for backbone in space.backbones:
        state = timm.create_model(backbone).state_dict()
        moved = {n: t + 0.01 * torch.rand(t.shape).to(t.dtype) for n, t in state.items()}
        save_file(moved, folder / f"{backbone}.safetensors")
    return str(folder)


def test_a_killed_worker_costs_its_trial_one_epoch_at_most(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    paths = SweepPaths(tmp_path / "killed")
    running = launch(
        settings, tmp_path, trials=2, max_epochs=30, stopping="none", concurrent=1, retrain=False
    )
    until = time.monotonic() + 300
    while time.monotonic() < until and not any(t.reports for t in read_trials(paths.journal)):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    family = {running.pid}
    workers = []
    for line in listed.splitlines()[1:]:
        pid, parent, title = line.split(None, 2)
        if int(parent) in family:
            family.add(int(pid))
            workers += [int(pid)] if title.startswith(WORKER_TITLES) else []
    assert len(workers) == 1, listed
    os.kill(workers[0], signal.SIGKILL)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    trials = read_trials(paths.journal)
    assert [t.status for t in trials] == ["completed"] * 2
    assert all([r.epoch for r in t.reports] == list(range(1, 31)) for t in trials)
    assert (
        "trial 0000 is retried: The actor is dead because its worker process has died"
        in paths.log.read_text()
    )
    assert "ResourceTrainable" in paths.traceback("0000").read_text()
