from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces import ConfigError, TrialParams
from trainables.evaluation import OperatingPoint
from trainables.inference import ModelSpec


def test_a_spec_predicts_with_its_operating_point_and_is_read_back_with_it() -> None:
    params, labels = TrialParams(backbone="test_vit", image_size=32), ("crack", "sound")
    probabilities = np.array([[0.3, 0.7], [0.19, 0.81], [0.6, 0.4]])
    plain = ModelSpec.of(params, labels)
    assert plain.predict_classes(probabilities).tolist() == [1, 1, 0]
    careful = ModelSpec.of(params, labels, OperatingPoint("crack", 0.95, 0.2))
    assert careful.predict_classes(probabilities).tolist() == [0, 1, 0]
    for spec in (plain, careful):
        assert ModelSpec.from_json(spec.to_json()) == spec


def test_a_spec_from_an_export_of_an_earlier_version_squashes() -> None:
    text = (
        '{"labels": ["a", "b"], "image_size": 32, "interpolation": "bicubic", '
        '"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.25], '
        '"point": {"positive": "a", "wanted": 0.9, "threshold": 0.3}}'
    )
    spec = ModelSpec.from_json(text)
    assert spec.labels == ("a", "b")
    assert spec.std == (0.5, 0.5, 0.25)
    assert spec.point == OperatingPoint("a", 0.9, 0.3)
    assert spec.to_json() == text.removesuffix("}") + ', "fit": "squash", "flips": "none"}'


def test_a_file_without_a_spec_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"config\.json lacks the labels and preprocessing"):
        ModelSpec.from_export(Path("config.json"), "")


def test_images_are_resized_and_normalised_by_channel() -> None:
    spec = ModelSpec(("a", "b"), 8, "bilinear", (0.0, 0.5, 1.0), (1.0, 0.5, 0.25))
    white = Image.new("RGB", (20, 10), (255, 255, 255))
    pixels = spec.preprocess([white, white])
    assert pixels.shape == (2, 3, 8, 8)
    assert pixels[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]
