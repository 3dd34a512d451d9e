import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from search import SweepResult
from search.record import program_name, read_trials
from tests.support.archives import pack
from tests.support.command_line import finesweep, flags
from tests.support.parquet import write_shard
from trainables.inference import Predictor


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["launch", "d", "--trails", "3"], "Unknown flag '--trails'; did you mean '--trials'"),
        (["launch", "d", "--trials", "x"], "trials should be a valid integer"),
        (["launch"], "The setting 'data' is missing"),
        (["launch", "d", "--config", "no.toml"], "The config file no.toml does not exist."),
        (["launch", "data", "--space", "dmo"], "Unknown space preset 'dmo'; did you mean 'demo'?"),
        (["launch", "nowhere", "--space", "demo"], "does not exist; give a folder, a table or an"),
        (["plan", "data", "--weights", "x", "--space", "demo"], "The weights 'x' are not a folder"),
        (["compare", "nowhere"], "No sweep 'nowhere'"),
        (["export", "nowhere", "--formats", "onx"], "No sweep 'nowhere'"),
        (["predict", "nowhere", "x.png"], "The image 'x.png' does not exist."),
        (["retrain"], "The following arguments are required: SWEEP"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_status_2(
    words: list[str],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for image in ("1.png", "2.png", "3.png"):
            (tmp_path / "data" / name / image).write_bytes(f"{name} {image}".encode())
    assert finesweep(*words) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["data"], "nothing was spent"


def test_plan_prints_one_json_document_and_nothing_else(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    preview = tmp_path / "preview.png"
    words = ["plan", settings["data"], *flags(settings), "--augment-preview", preview]
    assert finesweep(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["one", "seven", "zero"]
    assert preview.exists()
    assert finesweep(*words) == 0
    text = capsys.readouterr().out
    assert "train     84 images: one 28, seven 28, zero 28" in text
    assert "trains    at unfreeze 0: " in text


@pytest.mark.slow
def test_launch_prints_the_result_and_the_next_steps(
    settings: dict[str, Any], ray_cluster: None, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text("trials = 2\nmax_epochs = 1\n")
    given = {**settings, "name": "told", "results_dir": tmp_path / "r", "trials": 2}
    del given["max_epochs"]
    assert finesweep("launch", settings["data"], "--config", file, *flags(given)) == 0
    text = capfd.readouterr().out
    assert "Test accuracy " in text
    assert "always predicting the most frequent class gives 0.3333" in text
    assert f"Export        {tmp_path / 'r' / 'told' / 'export'}" in text
    assert text.count(f"\n  {program_name()} ") == 3
    assert (tmp_path / "r" / "told" / "sweep.toml").read_text() == file.read_text()
    settled = json.loads((tmp_path / "r" / "told" / "sweep.json").read_text())
    assert (settled["max_epochs"], settled["asha"]["reduction_factor"]) == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_sweep_cleanly_and_say_how_to_resume(
    settings: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    given = {**settings, "name": "cut", "results_dir": tmp_path, "trials": 500, "concurrent": 1}
    words = [sys.executable, "-m", "search", "launch", str(settings["data"]), *flags(given)]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "cut" / "study.journal"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (
        journal.exists() and any(t.status == "stopped" for t in read_trials(journal))
    ):
        assert running.poll() is None, running.communicate()
        time.sleep(0.5)
    running.send_signal(number)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 1, err
    assert "of 500 trials did not finish" in out
    assert f"resume cut --results-dir {tmp_path}" in out
    assert f"retrain cut --results-dir {tmp_path}" in out
    assert "Traceback" not in err
    assert "SIGTERM" not in err, "Ray's own handler prints a trace"
    assert "INFO stopped: " in (tmp_path / "cut" / "sweep.log").read_text()
    ended = pd.read_parquet(tmp_path / "cut" / "trials.parquet")
    assert len(ended) < 500
    assert finesweep("retrain", "cut", "--results-dir", tmp_path) == 0
    assert (tmp_path / "cut" / "export" / "model.safetensors").exists()


@pytest.mark.slow
def test_ctrl_c_works_while_no_machine_is_left(settings: dict[str, Any], tmp_path: Path) -> None:
    given = {**settings, "name": "alone", "results_dir": tmp_path, "trials": 500}
    waits = """
import sys
from search.cli import parser as cli
from search.tuning import placement as machines
from search.tuning import tuner
tuner.Placement = lambda *given, **named: machines.Placement(*given, **named, look=list)
cli.main(sys.argv[1:])
"""
    words = [sys.executable, "-c", waits, "launch", str(settings["data"]), *flags(given)]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log, until = tmp_path / "alone" / "sweep.log", time.monotonic() + 120
    while not (log.exists() and "the sweep waits for one" in log.read_text()):
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.5)
    time.sleep(2)
    running.send_signal(signal.SIGINT)
    try:
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 1, err
    assert "500 of 500 trials did not finish" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_compare_ranks_one_or_several_sweeps(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = sweep.paths.root
    where = ["--results-dir", root.parent]
    assert finesweep("compare", "digits", *where, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["trial_id"] for row in rows] == sweep.trials["trial_id"].tolist()
    assert rows[0]["sweep"] == "digits"
    assert finesweep("compare", root, root, "--csv", tmp_path / "all.csv") == 0
    assert len(pd.read_csv(tmp_path / "all.csv")) == 10
    assert "0000" in capsys.readouterr().out


@pytest.mark.slow
def test_predict_needs_neither_ray_nor_the_sweep(sweep: SweepResult, digits: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainables.inference import Predictor;"
        "p = Predictor.load(Path(sys.argv[1]));"
        "print(p.probabilities([Path(sys.argv[2])]).shape);"
        "assert not {'ray', 'search', 'optuna'} & set(sys.modules)"
    )
    image = next((digits / "one").iterdir())
    words = [sys.executable, "-c", code, str(sweep.paths.export), str(image)]
    out = subprocess.run(words, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "(1, 3)"


@pytest.mark.slow
def test_predict_classifies_files_folders_and_archives(
    sweep: SweepResult, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image = sorted((digits / "one").iterdir())[0]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert finesweep("predict", sweep.paths.export, image, broken, "--top", 2) == 0
    captured = capsys.readouterr()
    line, other = captured.out.splitlines()
    name, *answers = line.split("\t")
    assert other == f"{broken}\t[unreadable] not an image in a known format"
    assert (name, len(answers)) == (str(image), 2)
    assert "1 of 2 files without a prediction (not an image" in captured.err
    expected = Predictor.load(sweep.paths.export).probabilities([image])[0]
    archive = pack(digits, tmp_path / "digits.tar")
    names = [str(file.relative_to(digits)) for file in sorted(digits.glob("*/*"))]
    images = [(digits / file).read_bytes() for file in names]
    shard = write_shard(tmp_path / "digits.parquet", images, paths=names)
    for data, name, read in (
        (digits, "p.csv", pd.read_csv),
        (digits, "p.parquet", pd.read_parquet),
        (digits, "p.json", _json),
        (archive, "packed.csv", pd.read_csv),
        (shard, "rows.csv", pd.read_csv),
    ):
        assert finesweep("predict", sweep.paths.export, data, "--out", tmp_path / name) == 0
        table = read(tmp_path / name)
        assert len(table) == 120
        row = table[table["path"] == str(data / "one" / image.name)].filter(like="p.").to_numpy()[0]
        assert row == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_predict_uses_as_many_threads_as_its_job_has_cpus(
    sweep: SweepResult, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    torch.set_num_threads(2)
    assert finesweep("predict", sweep.paths.export, digits / "one") == 0
    assert torch.get_num_threads() == 1


@pytest.mark.slow
def test_predict_writes_a_row_for_each_file_before_it_complains(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken, out = tmp_path / "broken.png", tmp_path / "p.csv"
    broken.write_bytes(b"no image")
    files = (tmp_path / "missing.png", broken)
    assert finesweep("predict", sweep.paths.export, *files, "--out", out) == 2
    table = pd.read_csv(out)
    assert table["status"].tolist() == ["missing", "unreadable"]
    assert table.filter(like="p.").isna().all(axis=None)
    assert "None of the images can be read" in capsys.readouterr().err


def _json(file: Path) -> pd.DataFrame:
    return pd.read_json(file, dtype=False)


@pytest.mark.slow
def test_predict_draws_grad_cam_maps(
    sweep: SweepResult, digits: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    images = sorted((digits / "one").iterdir())[:2]
    drawn = tmp_path / "drawn"
    assert finesweep("predict", sweep.paths.export, *images, "--grad-cam", drawn) == 0
    names = [f"{row:06d}_{image.name}" for row, image in enumerate(images)]
    assert sorted(path.name for path in drawn.iterdir()) == names
    with Image.open(drawn / names[0]) as picture:
        assert picture.size == (64, 32)
        pixels = np.asarray(picture)
    with Image.open(images[0]) as original:
        assert (pixels[:, :32] == np.asarray(original.convert("RGB"))).all()
    onnx = sweep.paths.export / "model.onnx"
    assert finesweep("predict", onnx, images[0], "--grad-cam", drawn) == 2
    assert "--grad-cam needs the timm folder" in capsys.readouterr().err


@pytest.mark.slow
def test_export_and_retrain_work_alone(
    sweep: SweepResult, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = sweep.paths.root
    assert finesweep("export", root, "--formats", "pt2", "--out", tmp_path / "hand") == 0
    assert "ms for one image, largest difference in logits" in capsys.readouterr().out
    assert (tmp_path / "hand" / "model.pt2").exists()
    assert finesweep("export", root, "--formats", "onx") == 2
    assert "Unknown format 'onx'; did you mean 'onnx'" in capsys.readouterr().err
