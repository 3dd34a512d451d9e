import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from search import Sweep, SweepConfig, SweepResult
from search.final import export as export_module
from search.final.selection import EnsembleMember
from search.operations import export_sweep
from search.record import SweepPaths, read_trials
from spaces import ConfigError, RunError
from tests.support.finalizing import finalize_from_untrained
from tests.support.shapes import draw_shapes
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.images import read_rgb
from trainables.inference import SIDECAR, ModelSpec, Predictor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(sweep: SweepResult) -> list[Path]:
    data = Dataset.read(sweep.paths.dataset, sweep.paths.split)
    return [data.file(row) for row in data.rows("test")]


def test_timm_alone_gives_the_logits_of_predict(sweep: SweepResult, files: list[Path]) -> None:
    expected = Predictor.load(sweep.paths.export).logits(files)
    model = timm.create_model(f"local-dir:{sweep.paths.export}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    with torch.inference_mode():
        got = model(torch.stack([transform(read_rgb(f)) for f in files])).numpy()
    assert np.allclose(got, expected, atol=1e-4)
    assert model.pretrained_cfg["label_names"] == ["one", "seven", "zero"]
    assert resolve_model_data_config(model, use_test_size=True)["input_size"] == (3, 32, 32)


def test_onnxruntime_gives_the_logits_of_predict(sweep: SweepResult, files: list[Path]) -> None:
    expected = Predictor.load(sweep.paths.export).logits(files)
    session = onnxruntime.InferenceSession(sweep.paths.export / "model.onnx")
    spec = ModelSpec.from_json(session.get_modelmeta().custom_metadata_map[SIDECAR])
    for count in (1, len(files)):
        images = spec.preprocess([read_rgb(f) for f in files[:count]]).numpy()
        (got,) = session.run(None, {"images": images})
        assert np.allclose(got, expected[:count], atol=1e-4)


def test_torch_export_gives_the_logits_of_predict(sweep: SweepResult, files: list[Path]) -> None:
    expected = Predictor.load(sweep.paths.export).logits(files)
    extra = {SIDECAR: ""}
    program = torch.export.load(sweep.paths.export / "model.pt2", extra_files=extra)
    spec = ModelSpec.from_json(extra[SIDECAR])
    with torch.inference_mode():
        got = program.module()(spec.preprocess([read_rgb(f) for f in files])).numpy()
    assert np.allclose(got, expected, atol=1e-4)


def test_predictions_of_the_export_equal_those_of_the_test(
    sweep: SweepResult, files: list[Path]
) -> None:
    import pandas as pd

    table = pd.read_parquet(sweep.paths.predictions)
    got = Predictor.load(sweep.paths.export).probabilities(files)
    assert np.allclose(got, table.filter(like="p.").to_numpy(), atol=1e-4)


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_images_that_are_not_square_have_one_answer_in_test_predict_timm_and_onnx(
    fit: str, settings: dict[str, Any], digits: Path, ray_cluster: None, tmp_path: Path
) -> None:
    for file in sorted(digits.glob("*/*")):
        wide = tmp_path / "wide" / file.relative_to(digits)
        wide.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            image.resize((61, 40)).save(wide)
    values = {**settings, "data": tmp_path / "wide", "results_dir": tmp_path / "results"}
    values |= {"name": "wide", "trials": 1, "max_epochs": 1, "confirm": 0, "fix": {"fit": fit}}
    paths = Sweep(SweepConfig.parse(values)).run().paths
    data = Dataset.read(paths.dataset, paths.split)
    files = [data.file(row) for row in data.rows("test")]
    tested = Predictions.read(paths.predictions, data.classes).probabilities
    predictor = Predictor.load(paths.export)
    assert predictor.spec.fit == fit
    assert np.allclose(predictor.probabilities(files), tested, atol=1e-4)
    assert np.allclose(
        Predictor.load(paths.export / "model.onnx").probabilities(files), tested, atol=1e-4
    )
    model = timm.create_model(f"local-dir:{paths.export}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(model))
    with torch.inference_mode():
        got = model(torch.stack([transform(read_rgb(f)) for f in files])).softmax(dim=1).numpy()
    assert np.allclose(got, tested, atol=1e-4)
    words = {"letterbox": "in the middle of 32x32 pixels", "crop": "and the central 32x32 pixels"}
    assert words[fit] in " ".join(paths.model_card.read_text().split())


def test_torchscript_is_written_when_asked_for(sweep: SweepResult, tmp_path: Path) -> None:
    (made,) = export_sweep(sweep.paths, formats=["torchscript"], out=tmp_path)
    assert (made.format, made.max_logit_difference < 1e-3) == ("torchscript", True)
    assert {p.name for p in tmp_path.iterdir()} == {"README.md", "labels.txt", "model.torchscript"}


def test_a_format_that_differs_is_an_error(
    sweep: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "compare_with_test", lambda *given: None)
    monkeypatch.setattr(export_module, "logits_agree", lambda exported, expected: False)
    with pytest.raises(RunError, match="timm export of test_"):
        export_sweep(sweep.paths, formats=["timm"], out=tmp_path / "out")
    assert not (tmp_path / "out").exists(), "an export takes its place only once it was checked"


def test_weights_that_differ_from_the_tested_model_are_an_error(
    sweep: SweepResult, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    spoiled = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "spoiled")))
    state = load_file(spoiled.final_weights)
    save_file({n: t * 2 if t.ndim == 2 else t for n, t in state.items()}, spoiled.final_weights)
    with pytest.raises(RunError, match="no longer gives the probabilities in"):
        export_sweep(spoiled, formats=["timm"])


def test_an_export_removes_all_files_of_an_earlier_export(
    sweep: SweepResult, tmp_path: Path
) -> None:
    export_sweep(sweep.paths, formats=["timm", "pt2"], out=tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    export_sweep(sweep.paths, formats=["pt2"], out=tmp_path)
    kept = {"README.md", "labels.txt", "model.pt2", "notes.txt"}
    assert {p.name for p in tmp_path.iterdir()} == kept


def test_an_export_needs_no_files_of_images(sweep: SweepResult, tmp_path: Path) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "moved")))
    dataset = paths.dataset.read_text()
    paths.dataset.write_text(dataset.replace(str(Dataset.read(*_described(paths)).root), "/gone"))
    assert not Dataset.read(*_described(paths)).file(0).exists()
    export_sweep(paths, formats=["timm"], out=tmp_path / "out")
    assert (tmp_path / "out" / "README.md").exists()


def _described(paths: SweepPaths) -> tuple[Path, Path]:
    return paths.dataset, paths.split


def test_an_export_goes_into_the_present_folder(
    sweep: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    for _ in range(2):  # the second one replaces the first
        export_sweep(sweep.paths, formats=["timm"], out=Path())
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "labels.txt",
        "mine.txt",
        "model.safetensors",
    ]


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount needs root and unshare"
)
def test_an_export_goes_into_a_disk_of_its_own(sweep: SweepResult, tmp_path: Path) -> None:
    out = tmp_path / "disk"
    out.mkdir()
    export = f"{sys.executable} -m search export {sweep.paths.root} --formats timm --out {out}"
    script = f"mount -t tmpfs none {out} && {export} && ls {out}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount needs root and unshare"
)
@pytest.mark.parametrize("name", ["timm", "onnx", "pt2", "torchscript"])
def test_an_export_to_a_full_disk_is_told_in_a_sentence(
    sweep: SweepResult, tmp_path: Path, name: str
) -> None:
    words = f"export {sweep.paths.root} --formats {name} --out {tmp_path}"
    export = f"{sys.executable} -m search {words}; echo $?; ls -A {tmp_path}"
    script = f"mount -t tmpfs -o size=64k none {tmp_path}; {export}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "1\n", "nothing is left on the disk"
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_export_replaces_no_files_of_others(sweep: SweepResult, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project")
    (tmp_path / "model.safetensors").write_text("mine")
    said = r"has README\.md and model\.safetensors, which an export would replace, and is not"
    with pytest.raises(ConfigError, match=said):
        export_sweep(sweep.paths, formats=["pt2"], out=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"README.md", "model.safetensors"}
    assert (tmp_path / "README.md").read_text() == "# My project"


def test_a_missing_package_is_reported_before_a_sweep_starts(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(ConfigError, match=r"needs onnxscript; pip install 'finesweep\[onnx\]'"):
        Sweep(SweepConfig.parse({**settings, "data": "nowhere"})).run()


def test_a_head_with_a_hidden_layer_leaves_out_the_timm_folder_and_says_so(
    sweep: SweepResult, dataset: Dataset, tmp_path: Path
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "wide")))
    trial = read_trials(paths.journal)[0]
    params = trial.params.model_copy(update={"head_hidden": 8})
    finalize_from_untrained(paths, [EnsembleMember(replace(trial, params=params))])
    assert not (paths.export / "config.json").exists()
    assert "timm alone can't build a head with a hidden layer" in paths.model_card.read_text()
    files = [dataset.file(row) for row in dataset.rows("test")]
    predictor = Predictor.load(paths.export)
    assert predictor.spec.labels == dataset.classes
    assert predictor.probabilities(files).sum(axis=1) == pytest.approx(1)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the export folder of a sweep"):
        Predictor.load(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        Predictor.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.pt2", "model.onnx"])
def test_predict_also_accepts_the_file_of_an_exported_program(
    name: str, sweep: SweepResult, files: list[Path]
) -> None:
    whole = Predictor.load(sweep.paths.export)
    alone = Predictor.load(sweep.paths.export / name)
    assert alone.spec == whole.spec
    assert alone.logits(files) == pytest.approx(whole.logits(files), abs=1e-4)


def test_a_program_that_finesweep_did_not_export_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.rand(1, 2),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(ConfigError, match="lacks the labels and preprocessing"):
        Predictor.load(tmp_path)


def test_an_export_has_the_permissions_of_the_sweep(sweep: SweepResult) -> None:
    made = [*sweep.paths.export.iterdir(), sweep.paths.final_weights, sweep.paths.config]
    assert len({file.stat().st_mode for file in made}) == 1


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="a mount needs root and unshare"
)
def test_a_sweep_on_a_read_only_disk_is_exported_elsewhere(tmp_path: Path) -> None:
    left = Path(__file__).parents[2] / "fixtures" / "sweep_0_1"  # without images to compare on
    paths = SweepPaths(Path(shutil.copytree(left, tmp_path / "shapes")))
    images = draw_shapes(tmp_path / "images")
    paths.dataset.write_text(paths.dataset.read_text().replace("/data/shapes", str(images)))
    script = (
        f"mount --bind {paths.root} {paths.root} && mount -o remount,ro,bind {paths.root} && "
        f"{sys.executable} -m search export {paths.root} --out {tmp_path / 'out'}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "README.md").exists()
    assert not paths.checked_images.exists()
