import numpy as np
import pytest
import timm
import torch
from scipy.special import softmax

from spaces import TrialParams
from trainables.evaluation import calibration_curve, fold_numbers
from trainables.inference import apply_temperature, fit_temperature
from trainables.models import Weights, build_model


def calibrated(images: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn by the probabilities of the logits."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(images, classes))
    labels = np.array([rng.choice(classes, p=p) for p in softmax(logits, axis=1)])
    return logits, labels


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_a_fitted_temperature_undoes_a_scaling_of_the_logits(scale: float) -> None:
    logits, labels = calibrated(2000)
    temperature = fit_temperature(scale * logits, labels, fold_numbers(labels))
    assert temperature == pytest.approx(scale, rel=0.1)
    before = calibration_curve(softmax(scale * logits, axis=1), labels).error
    assert (
        calibration_curve(softmax(scale * logits / temperature, axis=1), labels).error < before / 2
    )


def test_calibrated_logits_often_keep_a_temperature_of_one() -> None:
    sets = [calibrated(40, seed=seed) for seed in range(20)]
    temperatures = [
        fit_temperature(logits, labels, fold_numbers(labels)) for logits, labels in sets
    ]
    assert temperatures.count(1.0) > 5, "of twenty that need none"


def test_a_temperature_that_no_held_out_images_confirm_stays_one() -> None:
    logits, labels = calibrated(40)
    assert fit_temperature(logits / 5, labels, np.zeros(40, int)) == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "test_vit"},
        {"backbone": "test_efficientnet", "head_hidden": 8},
        {"backbone": "deit_tiny_distilled_patch16_224", "image_size": 224},
    ],
)
def test_a_temperature_in_the_last_layers_divides_the_logits(fields: dict[str, object]) -> None:
    params = TrialParams.parse({"image_size": 160, **fields})
    model = build_model(params, Weights(params.backbone, "none", None), 3).eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.02)
            torch.nn.init.normal_(layer.bias)
    images = torch.rand(2, 3, params.image_size, params.image_size)
    with torch.inference_mode():
        before = model(images)
        apply_temperature(model, 2.5)
        torch.testing.assert_close(model(images), before / 2.5, rtol=1e-4, atol=1e-5)
    assert timm.is_model(params.backbone)
