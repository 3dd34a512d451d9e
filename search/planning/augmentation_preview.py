"""A picture of what each augmentation strength does to training images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainables.data import Dataset, read_rgb, resize_square
from trainables.inputs import NUMBERS, augment


def draw_augmentation(dataset: Dataset, file: Path, *, images: int = 6) -> None:
    """A picture: rows of strengths from 0 to 1, the same training images in each row."""
    chosen = dataset.rows("train")[:: max(1, len(dataset.rows("train")) // images)][:images]
    side = 160
    squares = [resize_square(read_rgb(dataset.file(r)), side, "bilinear") for r in chosen]
    batch = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
    numbers = np.random.default_rng(0).random((len(batch), NUMBERS))
    rows = []
    for strength in (0.0, 0.1, 0.3, 0.6, 1.0):
        moved = augment(batch, np.full(len(batch), strength), numbers)
        rows.append(torch.cat(list(moved), dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
    Image.fromarray(sheet).save(file)
