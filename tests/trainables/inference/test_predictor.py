from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from scipy.special import softmax

from spaces import ConfigError, RunError
from trainables.inference import FileOutcome, ModelSpec, Predictor
from trainables.inference.predictor import BATCH_SIZE

SPEC = ModelSpec(("dark", "bright"), 8, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def brightness(images: torch.Tensor) -> np.ndarray:
    """Logits of two classes, by an image's mean level in [0, 1]."""
    level = images.mean(dim=(1, 2, 3)).numpy()
    return np.stack([1 - level, level], axis=1)


def grey(file: Path, level: int) -> Path:
    """Write a small grey image."""
    Image.new("RGB", (12, 12), (level,) * 3).save(file)
    return file


def test_files_keep_their_order_over_several_batches(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, 2 * BATCH_SIZE + 3).tolist()
    files = [grey(tmp_path / f"{i:03d}.png", level) for i, level in enumerate(levels)]
    predictions = Predictor(SPEC, brightness).predict(files)
    share = np.array(levels) / 255
    expected = softmax(np.stack([1 - share, share], axis=1), axis=1)
    assert predictions.files == tuple(files)
    assert {outcome.status for outcome in predictions.outcomes} == {"ok"}
    assert predictions.probabilities == pytest.approx(expected, abs=1e-5)


def test_every_file_has_an_outcome_in_the_given_order(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    files = [grey(tmp_path / "a.png", 0), broken, grey(tmp_path / "b.png", 255), tmp_path / "c.png"]
    predictions = Predictor(SPEC, brightness).predict(files)
    assert predictions.files == (files[0], files[2])
    assert predictions.outcomes == (
        FileOutcome(files[0], "ok"),
        FileOutcome(broken, "unreadable", "not an image in a known format"),
        FileOutcome(files[2], "ok"),
        FileOutcome(files[3], "missing", "file not found"),
    )
    assert predictions.probabilities.argmax(axis=1).tolist() == [0, 1]


def test_without_a_readable_file_there_are_no_probabilities(tmp_path: Path) -> None:
    predictions = Predictor(SPEC, brightness).predict([tmp_path / "missing.png"])
    assert predictions.files == ()
    assert predictions.probabilities.shape == (0, 2)


def test_logits_of_an_unreadable_file_raise_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Predictor(SPEC, brightness).logits([tmp_path / "missing.png"])


def test_progress_counts_readable_and_unreadable_files(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    files = [grey(tmp_path / "a.png", 0), tmp_path / "missing.png"]
    Predictor(SPEC, brightness).predict(files, lambda *step: steps.append(step))
    assert steps == [("classifying images", 2, 2)]


def test_a_folder_without_an_export_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Predictor.load(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="give the export folder of a sweep"):
        Predictor.load(tmp_path)
    (tmp_path / "export").mkdir()
    with pytest.raises(ConfigError, match=f"give {tmp_path / 'export'}"):
        Predictor.load(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.pt2", "model.onnx"])
@pytest.mark.parametrize("content", [b"", b'{"finesweep": {"labels": ["dark", '])
def test_a_damaged_export_is_told_in_a_sentence_that_names_the_file(
    tmp_path: Path, name: str, content: bytes
) -> None:
    if name == "model.safetensors":
        (tmp_path / "config.json").write_text(
            f'{{"architecture": "test_vit", "finesweep": {SPEC.to_json()}}}'
        )
    elif name == "config.json":
        (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=rf"{name} can't be opened .* copy it again"):
        Predictor.load(tmp_path)


def test_a_heat_map_of_an_image_with_a_long_name_has_the_start_of_that_name(tmp_path: Path) -> None:
    file = grey(tmp_path / f"{'ж' * 124}.png", 100)
    spec = replace(SPEC, image_size=64)
    model = timm.create_model("test_efficientnet", num_classes=2)
    predictor = Predictor(spec, brightness, model)
    predictor.draw_grad_cams(predictor.predict([file]), tmp_path / "maps")
    (drawn,) = (tmp_path / "maps").iterdir()
    assert drawn.name == f"000000_{'ж' * 100}.png"
