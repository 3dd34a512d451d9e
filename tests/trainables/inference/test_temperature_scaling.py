import numpy as np
import pytest
import timm
import torch
from scipy.special import softmax

from spaces import TrialParams
from trainables.evaluation import calibration_curve, fold_numbers
from trainables.inference import apply_temperature, fit_temperature
from trainables.models import Weights, build_model


def honest(images: int, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are as frequent as the logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(images, classes))
    labels = np.array([rng.choice(classes, p=p) for p in softmax(logits, axis=1)])
    return logits, labels


@pytest.mark.parametrize("by", [0.5, 3.0])
def test_it_finds_by_how_much_logits_are_too_large_or_too_small(by: float) -> None:
    logits, labels = honest(2000)
    found = fit_temperature(by * logits, labels, fold_numbers(labels))
    assert found == pytest.approx(by, rel=0.1)
    before = calibration_curve(softmax(by * logits, axis=1), labels).error
    assert calibration_curve(softmax(by * logits / found, axis=1), labels).error < before / 2


def test_it_leaves_alone_what_it_does_not_help() -> None:
    sets = [honest(40, seed=seed) for seed in range(20)]
    found = [fit_temperature(logits, labels, fold_numbers(labels)) for logits, labels in sets]
    assert found.count(1.0) > 5, "of twenty that need none"


def test_folds_have_every_class_evenly() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    folds = fold_numbers(labels)
    for k, count in ((0, 10), (1, 2), (2, 1)):
        assert np.bincount(folds[labels == k]).tolist() == [count] * 5


def test_copies_of_an_image_are_in_one_fold() -> None:
    labels = np.tile(np.repeat([0, 1, 2], [50, 10, 5]), 2)
    folds = fold_numbers(labels, digests=[str(k) for k in range(65)] * 2)
    assert (folds[:65] == folds[65:]).all()
    assert np.bincount(folds).tolist() == [26] * 5


@pytest.mark.parametrize(
    "fields",
    [
        {"backbone": "test_vit"},
        {"backbone": "test_efficientnet", "head_hidden": 8},
        {"backbone": "deit_tiny_distilled_patch16_224", "image_size": 224},
    ],
)
def test_the_last_layers_divide_the_logits(fields: dict[str, object]) -> None:
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
