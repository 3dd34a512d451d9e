from pathlib import Path

import numpy as np
from PIL import Image

from search.planning import draw_augmentation
from search.planning.augmentation_preview import SIDE_PX, STRENGTHS
from trainables.data import Dataset
from trainables.images import read_rgb, resize_square


def test_the_preview_has_a_row_for_each_strength(dataset: Dataset, tmp_path: Path) -> None:
    draw_augmentation(dataset, tmp_path / "preview.png", images=4)
    with Image.open(tmp_path / "preview.png") as image:
        assert image.size == (4 * SIDE_PX, len(STRENGTHS) * SIDE_PX)
        pixels = np.asarray(image)
    first = dataset.file(dataset.rows("train")[0])
    original = resize_square(read_rgb(first), SIDE_PX, "bilinear")
    assert (pixels[:SIDE_PX, :SIDE_PX] == original).all(), "strength 0 changes nothing"
    assert (pixels[-SIDE_PX:, :SIDE_PX] != original).any()
