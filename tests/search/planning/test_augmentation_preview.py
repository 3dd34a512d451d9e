from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.planning import draw_augmentation
from search.planning.augmentation_preview import SIDE_PX, STRENGTHS
from spaces import SearchSpace
from trainables.data import Dataset
from trainables.images import PixelFormat, read_rgb

CROPPED = PixelFormat(32, "bilinear", "crop")


@pytest.fixture
def space() -> SearchSpace:
    return SearchSpace.from_table({"backbone": "test_vit"}, name="x")


def test_the_preview_has_a_row_for_each_strength(
    dataset: Dataset, space: SearchSpace, tmp_path: Path
) -> None:
    draw_augmentation(dataset, space, CROPPED, tmp_path / "preview.png", images=4)
    with Image.open(tmp_path / "preview.png") as image:
        assert image.size == (4 * SIDE_PX, len(STRENGTHS) * SIDE_PX)
        pixels = np.asarray(image)
    first = dataset.file(dataset.rows("train")[0])
    original = PixelFormat(SIDE_PX, "bilinear", "crop").resize(read_rgb(first))
    assert (pixels[:SIDE_PX, :SIDE_PX] == original).all(), "strength 0 changes nothing"
    assert (pixels[-SIDE_PX:, :SIDE_PX] != original).any()


def test_the_preview_shows_only_the_kinds_of_transforms_that_are_on(
    dataset: Dataset, space: SearchSpace, tmp_path: Path
) -> None:
    off = {"flips": "none", "max_rotation": 0.0, "zoom": False}
    still = space.with_fixed(**off, colour=False, noise=False, erasing=False)
    draw_augmentation(dataset, still, CROPPED, tmp_path / "preview.png", images=1)
    with Image.open(tmp_path / "preview.png") as image:
        rows = np.split(np.asarray(image), len(STRENGTHS))
    assert all((row == rows[0]).all() for row in rows)
