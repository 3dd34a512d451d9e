import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.report.galleries import (
    grad_cam_gallery,
    images_available,
    label_errors_gallery,
    mistakes_figure,
    mistakes_gallery,
)
from spaces import TrialParams
from trainables.data import Dataset
from trainables.evaluation import Predictions
from trainables.images import content_digest
from trainables.inference import ModelSpec
from trainables.models import Weights, build_model


@pytest.fixture
def predictions(dataset: Dataset) -> Predictions:
    """Confident predictions for the test images, the second and the third of them wrong."""
    labels = dataset.labels[dataset.rows("test")]
    predicted, confidence = labels.copy(), np.full(len(labels), 0.9)
    predicted[1:3] = (labels[1:3] + 1) % 3
    confidence[1:3] = 0.93, 0.95
    others = ((1 - confidence) / 2)[:, None].repeat(3, axis=1)
    others[np.arange(len(labels)), predicted] = confidence
    return Predictions(dataset.classes, np.asarray(labels), others)


def test_mistakes_are_shown_with_the_most_confident_first(
    predictions: Predictions, dataset: Dataset
) -> None:
    gallery = mistakes_gallery(predictions, dataset)
    assert gallery is not None
    assert gallery.caption == "2 misclassified test images, most confident first."
    true, predicted = (dataset.classes[k[2]] for k in (predictions.labels, predictions.predicted))
    first = gallery.thumbnails[0]
    assert first.lines[0] == f"true: {true}, predicted: {predicted} (95.0%)"
    assert first.lines[1] == dataset.paths[dataset.rows("test")[2]]


def test_a_test_without_mistakes_has_no_gallery_of_mistakes(dataset: Dataset) -> None:
    labels = np.asarray(dataset.labels[dataset.rows("test")])
    perfect = Predictions(dataset.classes, labels, np.eye(3)[labels])
    assert mistakes_gallery(perfect, dataset) is None
    assert mistakes_figure(perfect, dataset, dataset.rows("test")) is None
    assert label_errors_gallery(perfect, dataset) is None


def test_a_figure_has_a_panel_for_each_mistake(predictions: Predictions, dataset: Dataset) -> None:
    figure = mistakes_figure(predictions, dataset, dataset.rows("test"))
    assert figure is not None
    assert len(figure.axes) == 2
    assert "predicted: " in figure.axes[0].get_title()


def test_confident_mistakes_may_be_label_errors(predictions: Predictions, dataset: Dataset) -> None:
    gallery = label_errors_gallery(predictions, dataset)
    assert gallery is not None
    assert "with a label that may be wrong" in gallery.caption


def test_grad_cam_shows_correct_predictions_and_mistakes(
    predictions: Predictions, dataset: Dataset
) -> None:
    params = TrialParams(backbone="test_efficientnet", image_size=32)
    torch.manual_seed(0)
    model = build_model(params, Weights("test_efficientnet", "none", None), 3).eval()
    torch.nn.init.normal_(model.get_classifier().weight)  # an untrained head is zero
    gallery = grad_cam_gallery(predictions, dataset, model, ModelSpec.of(params, dataset.classes))
    assert gallery is not None
    assert len(gallery.thumbnails) == 8, "six correct ones and the two mistakes"
    assert gallery.thumbnails[0].pixels.shape == (176, 352, 3)


def test_grad_cam_lies_over_the_part_of_a_wide_image_that_the_model_sees(
    predictions: Predictions, dataset: Dataset, tmp_path: Path
) -> None:
    for path in dataset.paths:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        wide = np.zeros((64, 192, 3), np.uint8)
        wide[:, 64:128] = 255
        Image.fromarray(wide).save(tmp_path / path)
    digests = tuple(content_digest((tmp_path / path).read_bytes()) for path in dataset.paths)
    images = replace(dataset, root=tmp_path, digests=digests)
    params = TrialParams(backbone="test_efficientnet", image_size=32, fit="crop")
    model = build_model(params, Weights("test_efficientnet", "none", None), 3).eval()
    torch.nn.init.normal_(model.get_classifier().weight)  # an untrained head is zero
    spec = ModelSpec.of(params, dataset.classes)
    gallery = grad_cam_gallery(predictions, images, model, spec)
    assert gallery is not None
    shown = gallery.thumbnails[0].pixels[:, :176]
    assert (shown == 255).mean() > 0.98, "the central square alone, beside its heat map"


def test_missing_and_changed_images_are_left_out(
    predictions: Predictions, dataset: Dataset, tmp_path: Path
) -> None:
    assert images_available(dataset)
    moved = replace(dataset, root=tmp_path)
    assert not images_available(moved)
    assert mistakes_gallery(predictions, moved) is None
    shutil.copytree(dataset.root, tmp_path, dirs_exist_ok=True)
    assert images_available(moved)
    moved.file(dataset.rows("test")[2]).write_bytes(b"something else")
    gallery = mistakes_gallery(predictions, moved)
    assert gallery is not None
    assert len(gallery.thumbnails) == 1
