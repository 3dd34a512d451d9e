from typing import get_args

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform

from spaces import Fit
from trainables.images import PixelFormat

MEAN = (0.485, 0.456, 0.406)
CROP_MODES = {"squash": "squash", "letterbox": "border", "crop": "center"}


@pytest.fixture
def noise() -> Image.Image:
    """A wide image whose pixels are all different."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (23, 61, 3), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("side", [32, 97])
def test_every_fit_equals_timms_transform(
    noise: Image.Image, fit: Fit, interpolation: str, turned: bool, side: int
) -> None:
    image = noise.transpose(Image.Transpose.ROTATE_90) if turned else noise
    transform = create_transform(
        input_size=(3, side, side),
        interpolation=interpolation,
        crop_pct=1.0,
        crop_mode=CROP_MODES[fit],
        mean=MEAN,
        std=(1, 1, 1),
    )
    theirs = 255 * (transform(image).permute(1, 2, 0).numpy() + MEAN)
    ours = PixelFormat.of(side, interpolation, fit, MEAN).resize(image)
    assert np.allclose(theirs, ours, atol=1e-3)


@pytest.mark.parametrize("fit", get_args(Fit))
def test_a_square_image_is_the_same_in_every_fit(noise: Image.Image, fit: Fit) -> None:
    square = noise.resize((40, 40))
    squashed = PixelFormat(24, "bicubic").resize(square)
    assert (PixelFormat.of(24, "bicubic", fit, MEAN).resize(square) == squashed).all()


def test_a_letterbox_holds_the_whole_image_between_bars_in_the_mean_colour() -> None:
    red = Image.new("RGB", (80, 20), "red")
    boxed = PixelFormat.of(40, "bicubic", "letterbox", MEAN).resize(red)
    assert (boxed[15:25] == (255, 0, 0)).all()
    assert (boxed[:15] == (124, 116, 104)).all() and (boxed[25:] == (124, 116, 104)).all()


def test_a_crop_keeps_the_central_square_alone() -> None:
    red = Image.new("RGB", (80, 20), "red")
    red.paste("blue", (30, 0, 50, 20))
    assert (PixelFormat(20, "nearest", "crop").resize(red) == (0, 0, 255)).all()


@pytest.mark.parametrize("fit", get_args(Fit))
def test_a_strip_of_one_pixel_can_be_resized(fit: Fit) -> None:
    strip = Image.new("RGB", (300, 1), "red")
    assert PixelFormat.of(32, "bicubic", fit, MEAN).resize(strip).shape == (32, 32, 3)
