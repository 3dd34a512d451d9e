"""Galleries: images that the final model mistakes, where it looks, and labels to doubt."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from search.report.charts import shortened
from search.report.html import Gallery, Thumbnail
from spaces import DataError
from trainables.data import Dataset, SplitName, read_surveyed_image, resize_square
from trainables.evaluation import Predictions, likely_label_errors
from trainables.inference import ModelSpec, grad_cam_maps, overlaid

MISTAKES, DOUBTED, LOOKED_AT = 18, 12, 6
"""Images of a gallery, at most."""
SIDE = 176
"""Pixels of a thumbnail, the longer side."""


def can_be_opened(dataset: Dataset) -> bool:
    """Whether the first test image is where it was, as it was."""
    return bool(_opened([0], dataset, SIDE))


def mistakes(tested: Predictions, dataset: Dataset) -> Gallery | None:
    """Those that the model was surest of; None if there are none, or no images to be had."""
    wrong = _surest_mistakes(tested)
    caption = f"The worst of {len(wrong)} mistakes, the surest first."
    return _gallery(caption, wrong[:MISTAKES], tested, dataset)


def mistakes_chart(answered: Predictions, dataset: Dataset, *splits: SplitName) -> Figure | None:
    """The surest mistakes among the images of splits, as one picture; None if there are none."""
    worst = _surest_mistakes(answered)[:MISTAKES].tolist()
    opened = _opened(worst, dataset, SIDE, *splits)
    if not opened:
        return None
    columns = min(6, len(opened))
    figure = Figure(figsize=(1.9 * columns, 2.3 * -(-len(opened) // columns)))
    for k, (place, image) in enumerate(opened):
        axes = figure.add_subplot(-(-len(opened) // columns), columns, k + 1)
        axes.imshow(image)
        axes.axis("off")
        true, best = (answered.classes[c[place]] for c in (answered.labels, answered.predicted))
        axes.set_title("{}, not {}".format(*shortened((true, best), 14)), fontsize=7.5)
    return figure


def _surest_mistakes(tested: Predictions) -> np.ndarray:
    """Places, the surest first."""
    wrong = np.flatnonzero(tested.predicted != tested.labels)
    sure = tested.probabilities.max(axis=1)
    found: np.ndarray = wrong[np.argsort(-sure[wrong], kind="stable")]
    return found


def doubted_labels(tested: Predictions, dataset: Dataset) -> Gallery | None:
    """Test images whose label may be wrong; None if there are none."""
    suspected = likely_label_errors(tested.probabilities, tested.labels)
    return _gallery(
        f"{len(suspected)} test images whose label may be wrong, the likeliest first, by confident "
        "learning (Northcutt et al. 2021). A model's mistakes look the same: somebody who knows "
        "should look.",
        suspected[:DOUBTED],
        tested,
        dataset,
    )


def where_it_looks(
    tested: Predictions, dataset: Dataset, model: nn.Module, spec: ModelSpec
) -> Gallery | None:
    """Grad-CAM of some right answers and of the worst wrong ones; None where it can't be had."""
    rng, right = np.random.default_rng(0), tested.predicted == tested.labels
    some = _in_turn(rng.permutation(np.flatnonzero(right)), tested.labels)[:LOOKED_AT]
    sure = np.where(right, -1, tested.probabilities.max(axis=1))
    worst = np.argsort(-sure, kind="stable")[: min(LOOKED_AT, int((~right).sum()))]
    opened = _opened([*some, *worst], dataset, spec.image_size)
    if not opened:
        return None
    places = np.array([place for place, _ in opened])
    images = [image for _, image in opened]
    maps = grad_cam_maps(model, spec.preprocess(images), tested.predicted[places])
    if maps is None:
        return None
    thumbnails = []
    for place, image, found in zip(places.tolist(), images, maps, strict=True):
        square = resize_square(image, SIDE, "bilinear")
        both = np.hstack([square, overlaid(square, found)])
        thumbnails.append(_thumbnail(both, place, tested, dataset))
    return Gallery(
        "Where the model looks for the class that it answers (Grad-CAM, Selvaraju et al. 2017), in "
        "some right answers and in the worst wrong ones: the brighter, the more that place speaks "
        "for the answer.",
        tuple(thumbnails),
    )


def _in_turn(places: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One of each class, then the next."""
    seen = pd.Series(labels[places]).groupby(labels[places]).cumcount()
    return places[np.argsort(seen.to_numpy(), kind="stable")]


def _opened(
    places: Sequence[int], dataset: Dataset, side: int, *splits: SplitName
) -> list[tuple[int, Image.Image]]:
    """Images by their places in some splits, or in the test, but those that are gone or changed."""
    found, rows = [], dataset.rows(*splits or ("test",))
    for place in places:
        try:
            found.append((place, read_surveyed_image(dataset, int(rows[place]), side=side)))
        except DataError:
            continue
    return found


def _gallery(
    caption: str, places: np.ndarray, tested: Predictions, dataset: Dataset
) -> Gallery | None:
    thumbnails = []
    for place, image in _opened(places.tolist(), dataset, SIDE):
        image.thumbnail((SIDE, SIDE))
        thumbnails.append(_thumbnail(np.asarray(image), place, tested, dataset))
    return Gallery(caption, tuple(thumbnails)) if thumbnails else None


def _thumbnail(pixels: np.ndarray, place: int, tested: Predictions, dataset: Dataset) -> Thumbnail:
    true, best = (tested.classes[k[place]] for k in (tested.labels, tested.predicted))
    sure = tested.probabilities[place].max()
    path = dataset.paths[dataset.rows("test")[place]]
    answer = f"is {true}, answered {best}" if true != best else f"{true}, rightly"
    return Thumbnail(pixels, f"{path}: {answer}", (f"{answer}, {sure:.1%} sure", path))
