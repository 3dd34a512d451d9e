"""One split of an image set as folders that every rival can read, and scores of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.measuring import SCRATCH, fresh
from trainables.data import Dataset, SplitSpec, survey_images
from trainables.listing import SPLITS


@dataclass(frozen=True)
class Score:
    """Accuracies on the test images."""

    accuracy: float
    balanced_accuracy: float


def lay_out(source: Path, target: Path, *, images: int, test_images: int, seed: int) -> None:
    """Link images of ``source`` to ``target/SPLIT/CLASS``, drawn by ``seed``.

    Of every class, 60% are to train on, 20% to validate and 20% to test on, as for ``images``
    images in all; copies and near copies stay in one split. If the 20% of all of ``source`` are
    more, about ``test_images`` are to test on. A split that ``source`` gives is kept.
    """
    spec = SplitSpec(val_fraction=0.2, test_fraction=0.2, seed=seed)
    dataset = survey_images(source, cache=SCRATCH / "survey", split=spec).dataset
    fresh(target)
    share = images / len(dataset)
    test_share = max(share, test_images / len(dataset.rows("test")))
    for split in SPLITS:
        for k, name in enumerate(dataset.classes):
            folder = target / split / name
            folder.mkdir(parents=True)
            for row in _drawn(dataset, split, k, test_share if split == "test" else share, seed):
                file = dataset.file(row)
                (folder / f"{row}{file.suffix}").symlink_to(file)


def _drawn(dataset: Dataset, split: str, label: int, share: float, seed: int) -> np.ndarray:
    """Rows of a ``share`` of the images of one split and class, two at least."""
    rows = np.flatnonzero((dataset.splits == split) & (dataset.labels == label))
    mixed: np.ndarray = np.random.default_rng(seed).permutation(rows)
    return mixed[: max(2, round(share * len(rows)))]


def score(folder: Path, predictions: Mapping[str, str]) -> Score:
    """Score the class that is predicted for each test image, given by the file's name.

    Raises `ValueError` if there are predictions for other images than those of ``folder/test``.
    """
    truth = {file.name: file.parent.name for file in (folder / "test").glob("*/*")}
    if truth.keys() != predictions.keys():
        raise ValueError(
            f"{len(truth.keys() - predictions.keys())} of {len(truth)} test images have no "
            f"prediction, and {len(predictions.keys() - truth.keys())} predictions have no image."
        )
    hits = {name: predictions[name] == label for name, label in truth.items()}
    recalls = [
        np.mean([hits[name] for name, label in truth.items() if label == wanted])
        for wanted in sorted(set(truth.values()))
    ]
    return Score(float(np.mean(list(hits.values()))), float(np.mean(recalls)))
