"""Preview of augmentation: a picture of training images at several strengths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from spaces import SearchSpace
from trainables.data import Dataset
from trainables.images import PixelFormat, read_rgb
from trainables.inputs import NUMBERS_PER_IMAGE, TransformKinds, augment

STRENGTHS = (0.0, 0.1, 0.3, 0.6, 1.0)
"""Augmentation strengths, one for each row of the picture."""
SIDE_PX = 160
"""Side of each image in the picture."""


def draw_augmentation(
    dataset: Dataset, space: SearchSpace, pixel_format: PixelFormat, file: Path, *, images: int = 6
) -> None:
    """Write a picture of augmented training images: a row per strength, a column per image.

    The kinds of transforms are the defaults of ``space``. The images are made square as in
    ``pixel_format``, but at `SIDE_PX`. The picture is
    ``len(STRENGTHS) * SIDE_PX`` pixels high and at most ``images * SIDE_PX`` wide.
    """
    train_rows = dataset.rows("train")
    rows = train_rows[:: max(1, len(train_rows) // images)][:images]
    enlarged = replace(pixel_format, side=SIDE_PX)
    squares = [enlarged.resize(read_rgb(dataset.file(row))) for row in rows]
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    defaults = {"backbone": space.backbones[0], "image_size": SIDE_PX}
    kinds = TransformKinds.of(space.params(defaults, native_image_size={}))
    numbers = np.random.default_rng(0).random((len(batch), NUMBERS_PER_IMAGE))
    strips = []
    for strength in STRENGTHS:
        augmented = augment(batch, np.full(len(batch), strength), numbers, kinds)
        strips.append(torch.cat(list(augmented), dim=2))
    picture = torch.cat(strips, dim=1).permute(1, 2, 0).numpy()
    Image.fromarray(picture).save(file)
