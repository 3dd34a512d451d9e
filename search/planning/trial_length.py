"""Length of a trial: its epochs, and how many images it trains on before it validates."""

import math
from collections.abc import Callable

from search.config import MOST_EPOCHS, Rounds, SweepConfig, images_per_epoch
from trainables.data import Dataset

ROUND_SECONDS = 20.0
"""Most seconds of training in a round at the measured speed, if the setting `round_images` is
"auto". A kill loses a round at most; a point that is half as fast then loses 40 s."""
MAX_EPOCH_IMAGES = 5000
"""Largest number of training images for which "auto" makes a round an epoch, without measuring."""
MIN_ROUND_IMAGES = 1024
"""Smallest round that "auto" makes: several batches, however slow the machine."""
VALIDATION_SHARE = 0.3
"""Validation images of a round, as a share of its training images, if the setting `val_images` is
"auto"; this costs about a tenth (`VALIDATION_COST`)."""
VALIDATION_COST = 1 / 3
"""Time of validating an image, as a share of the time of training on it."""
MIN_VALIDATION_IMAGES = 500
"""Smallest part of more validation images: an accuracy of 0.9 is then known to 3 points."""
SPEED_BESIDE_OTHERS = 0.8
"""Speed of a trial while others run on the machine, as a share of its speed alone."""
TIME_FOR_FINAL_MODEL = 0.8
"""Time of retraining and testing, as a multiple of the time of the trial."""


def choose_epochs(
    config: SweepConfig, dataset: Dataset, images_per_second: float, seconds: float
) -> int:
    """Number of epochs of a trial if `max_epochs` is unset, `MOST_EPOCHS` at most.

    A whole trial and its retraining fit into ``seconds``. The learning rate then reaches the end of
    its schedule before the time budget ends the search.
    """
    validated = VALIDATION_COST * len(dataset.rows(*config.validation_splits))
    images = images_per_epoch(config, dataset) * (config.folds or 1) + validated
    epoch = images / (SPEED_BESIDE_OTHERS * images_per_second)
    with_final_model = epoch * (1 + TIME_FOR_FINAL_MODEL * config.retrain)
    return max(1, min(MOST_EPOCHS, int(seconds / with_final_model)))


def choose_rounds(
    config: SweepConfig, dataset: Dataset, images_per_second: Callable[[], float]
) -> Rounds:
    """Divide an epoch as the settings say.

    ``images_per_second`` measures the speed of training. It is called only if `round_images` is
    "auto", there are more than `MAX_EPOCH_IMAGES` training images and no folds. The length is then
    a power of two, so that small differences in speed do not change it.
    """
    epoch = images_per_epoch(config, dataset)
    if config.round_images != "auto":
        images = config.round_images
    else:
        measured = epoch > MAX_EPOCH_IMAGES and not config.folds
        images = _measured_length(images_per_second()) if measured else epoch
    per_epoch = max(1, round(epoch / images))
    if config.val_images != "auto":
        return Rounds(per_epoch, config.val_images)
    if per_epoch == 1 or config.folds or config.sensitivity:
        return Rounds(per_epoch)
    return Rounds(per_epoch, max(MIN_VALIDATION_IMAGES, round(VALIDATION_SHARE * images)))


def _measured_length(images_per_second: float) -> int:
    """Number of images in `ROUND_SECONDS`, rounded down to a power of two."""
    return 1 << int(math.log2(max(ROUND_SECONDS * images_per_second, MIN_ROUND_IMAGES)))
