from pathlib import Path

import numpy as np
from PIL import Image

from search.planning import draw_contact_sheet
from search.planning.contact_sheet import (
    HEADER_PX,
    IMAGES_PER_SPLIT,
    LABEL_PX,
    TILE_PX,
    _spread,
)
from trainables.data import Dataset
from trainables.images import PixelFormat, read_rgb


def test_a_class_has_a_row_of_its_images_as_the_model_gets_them(
    dataset: Dataset, tmp_path: Path
) -> None:
    wanted = PixelFormat(16, "bilinear")
    draw_contact_sheet(dataset, wanted, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.height == HEADER_PX + len(dataset.classes) * TILE_PX
        pixels = np.asarray(image)
    for block, split in enumerate(("train", "val", "test")):
        rows = dataset.rows(split)
        first = rows[dataset.labels[rows] == 1][0]
        small = Image.fromarray(wanted.resize(read_rgb(dataset.file(first))))
        left, top = LABEL_PX + block * IMAGES_PER_SPLIT * TILE_PX, HEADER_PX + TILE_PX
        drawn = pixels[top : top + TILE_PX, left : left + TILE_PX]
        assert (drawn == np.asarray(small.resize((TILE_PX, TILE_PX)))).all()


def test_few_images_are_drawn_once_each_and_many_are_spread() -> None:
    assert _spread(np.arange(3), 5).tolist() == [0, 1, 2]
    assert _spread(np.arange(0), 5).tolist() == []
    assert _spread(np.arange(101), 5).tolist() == [0, 25, 50, 75, 100]
