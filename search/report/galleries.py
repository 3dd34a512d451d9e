"""Galleries of test images: mistakes, likely label errors, and Grad-CAM."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from search.report.charts import shorten
from search.report.html import Gallery, Thumbnail
from spaces import DataError
from spaces.wording import counted
from trainables.data import Dataset, read_surveyed_image
from trainables.evaluation import Predictions, likely_label_errors
from trainables.inference import ModelSpec, grad_cam_maps, overlay_heatmap

MAX_MISTAKES, MAX_LABEL_ERRORS, MAX_GRAD_CAMS = 18, 12, 6
"""Largest number of images in each gallery. Grad-CAM shows up to this many correct and as many
wrong predictions."""
THUMBNAIL_PX = 176
"""Longer side of a thumbnail."""


def images_available(dataset: Dataset) -> bool:
    """Whether the test images can be shown: checks that the first still exists, unchanged."""
    return bool(_open_images([0], dataset, dataset.rows("test"), THUMBNAIL_PX))


def mistakes_gallery(predictions: Predictions, dataset: Dataset) -> Gallery | None:
    """Gallery of the most confident mistakes; None if no such image can be shown."""
    wrong = _mistakes_by_confidence(predictions)
    caption = f"{counted(len(wrong), 'misclassified test image')}, most confident first."
    return _gallery(caption, wrong, MAX_MISTAKES, predictions, dataset)


def mistakes_figure(predictions: Predictions, dataset: Dataset, rows: np.ndarray) -> Figure | None:
    """Figure of the most confident mistakes among the images at ``rows``, ``(n,)`` int64.

    None if there are no mistakes, or if none of their images can be shown.
    """
    worst = _mistakes_by_confidence(predictions)[:MAX_MISTAKES].tolist()
    opened = _open_images(worst, dataset, rows, THUMBNAIL_PX)
    if not opened:
        return None
    columns = min(6, len(opened))
    lines = -(-len(opened) // columns)
    figure = Figure(figsize=(1.9 * columns, 2.3 * lines))
    for k, (index, image) in enumerate(opened, start=1):
        axes = figure.add_subplot(lines, columns, k)
        axes.imshow(image)
        axes.axis("off")
        true, predicted = shorten(_true_and_predicted(predictions, index), 14)
        axes.set_title(f"true: {true}\npredicted: {predicted}", fontsize=7.5)
    return figure


def label_errors_gallery(predictions: Predictions, dataset: Dataset) -> Gallery | None:
    """Gallery of test images whose label is likely wrong; None if no such image can be shown."""
    suspected = likely_label_errors(predictions.probabilities, predictions.labels)
    return _gallery(
        f"{counted(len(suspected), 'test image')} with a label that may be wrong, most likely "
        "first, found by confident learning (Northcutt et al. 2021). Some of these labels may be "
        "right and the model wrong, so have an expert check the images.",
        suspected,
        MAX_LABEL_ERRORS,
        predictions,
        dataset,
    )


def grad_cam_gallery(
    predictions: Predictions, dataset: Dataset, model: nn.Module, spec: ModelSpec
) -> Gallery | None:
    """Gallery of Grad-CAM for random correct predictions and for the most confident mistakes.

    None if no such image can be shown, or if the model has no feature map to weight.
    """
    rng = np.random.default_rng(0)
    correct = rng.permutation(np.flatnonzero(predictions.correct))
    correct = _alternate_classes(correct, predictions.labels)[:MAX_GRAD_CAMS]
    wrong = _mistakes_by_confidence(predictions)[:MAX_GRAD_CAMS]
    opened = _open_images([*correct, *wrong], dataset, dataset.rows("test"), spec.image_size)
    if not opened:
        return None
    indices = np.array([index for index, _ in opened])
    images = [image for _, image in opened]
    maps = grad_cam_maps(model, spec.preprocess(images), predictions.predicted[indices])
    if maps is None:
        return None
    thumbnails = []
    as_seen = replace(spec.pixel_format, side=THUMBNAIL_PX, interpolation="bilinear")
    for index, image, heat_map in zip(indices.tolist(), images, maps, strict=True):
        square = as_seen.resize(image)
        side_by_side = np.hstack([square, overlay_heatmap(square, heat_map)])
        thumbnails.append(_thumbnail(side_by_side, index, predictions, dataset))
    return Gallery(
        "Where the model looks: Grad-CAM (Selvaraju et al. 2017) of correct predictions and of the "
        "most confident mistakes. Brighter regions contribute more to the predicted class.",
        tuple(thumbnails),
    )


def _mistakes_by_confidence(predictions: Predictions) -> np.ndarray:
    """Indices of the misclassified images, most confident first; ties by index."""
    wrong = np.flatnonzero(~predictions.correct)
    confidence = predictions.probabilities.max(axis=1)[wrong]
    return np.asarray(wrong[np.argsort(-confidence, kind="stable")])


def _alternate_classes(indices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Reorder indices so that each class comes once, then each a second time, and so on."""
    occurrence = pd.Series(labels[indices]).groupby(labels[indices]).cumcount()
    return indices[np.argsort(occurrence.to_numpy(), kind="stable")]


def _open_images(
    indices: Sequence[int], dataset: Dataset, rows: np.ndarray, side_px: int
) -> list[tuple[int, Image.Image]]:
    """Pairs of index and image; an index counts the images at ``rows``, from 0.

    Images that are missing or have changed are left out.
    """
    opened = []
    for index in indices:
        try:
            opened.append((index, read_surveyed_image(dataset, int(rows[index]), side=side_px)))
        except DataError:
            continue
    return opened


def _gallery(
    caption: str, indices: np.ndarray, maximum: int, predictions: Predictions, dataset: Dataset
) -> Gallery | None:
    """Gallery of the first ``maximum`` images; None if none of these can be shown."""
    if len(indices) > maximum:
        caption += f" The first {maximum} are shown."
    thumbnails = []
    shown, rows = indices[:maximum].tolist(), dataset.rows("test")
    for index, image in _open_images(shown, dataset, rows, THUMBNAIL_PX):
        image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        thumbnails.append(_thumbnail(np.asarray(image), index, predictions, dataset))
    return Gallery(caption, tuple(thumbnails)) if thumbnails else None


def _thumbnail(
    pixels: np.ndarray, index: int, predictions: Predictions, dataset: Dataset
) -> Thumbnail:
    true, predicted = _true_and_predicted(predictions, index)
    confidence = predictions.probabilities[index].max()
    path = dataset.paths[dataset.rows("test")[index]]
    text = f"true: {true}, predicted: {predicted} ({confidence:.1%})"
    return Thumbnail(pixels, f"{path}: {text}", (text, path))


def _true_and_predicted(predictions: Predictions, index: int) -> tuple[str, str]:
    """Names of an image's true and predicted class."""
    classes = predictions.classes
    return classes[predictions.labels[index]], classes[predictions.predicted[index]]
