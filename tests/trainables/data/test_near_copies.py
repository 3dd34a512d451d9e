import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from trainables.data.copies import component_numbers
from trainables.data.near_copies import UNKNOWN, appearance_of, close_hashes, near_copies


def picture(seed: int, side: int = 160) -> Image.Image:
    """A random picture in colour with coarse and fine structures, as photographs have them."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 110.0)
    for cells, contrast in ((4, 30), (9, 20), (18, 14), (36, 9)):
        layer = Image.fromarray(rng.integers(0, 255, (cells, cells, 3), dtype=np.uint8))
        smooth = layer.resize((side, side), Image.Resampling.BICUBIC)
        pixels += (np.asarray(smooth) / 127.5 - 1) * contrast
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image) -> Image.Image:
    """The image compressed at quality 40."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize(
    "copy",
    [
        picture(0).rotate(90),
        picture(0).rotate(180),
        picture(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        picture(0).resize((80, 80)),
        as_jpeg(picture(0)),
        ImageEnhance.Brightness(picture(0)).enhance(0.8),
    ],
    ids=["turned by 90", "turned by 180", "mirrored", "resized", "recompressed", "darker"],
)
def test_a_changed_copy_is_found_among_other_images(copy: Image.Image) -> None:
    images = [*(picture(seed) for seed in range(8)), copy]
    assert near_copies([appearance_of(image) for image in images]).tolist() == [[0, 8]]


def test_images_that_differ_in_colour_alone_are_no_copies() -> None:
    first = picture(0)
    swapped = Image.merge("RGB", [first.getchannel(c) for c in "BRG"])
    assert not len(near_copies([appearance_of(first), appearance_of(swapped)]))


def test_small_and_plain_images_are_not_compared() -> None:
    assert appearance_of(picture(0, side=32)) == UNKNOWN
    assert appearance_of(Image.new("RGB", (64, 64), "red")) == UNKNOWN
    assert not len(near_copies([UNKNOWN, UNKNOWN]))


def test_close_hashes_are_found_in_any_orientation_and_others_are_not() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((400, 16, 16)) < 0.5
    flips = np.zeros(256, dtype=bool)
    flips[rng.permutation(256)[:12]] = True
    bits[399] = bits[0].T ^ flips.reshape(16, 16)
    hashes = np.packbits(bits.reshape(400, 256), axis=1)
    assert close_hashes(hashes).tolist() == [[0, 399]]


def test_any_number_of_copies_of_one_picture_is_connected() -> None:
    rng = np.random.default_rng(0)
    bits = rng.random((4, 256)) < 0.5
    frames = np.repeat(bits, 100, axis=0) ^ (rng.random((400, 256)) < 0.02)
    pairs = close_hashes(np.packbits(frames, axis=1))
    numbers = component_numbers(400, pairs)
    assert [len(set(numbers[k : k + 100])) for k in range(0, 400, 100)] == [1, 1, 1, 1]
    assert len(set(numbers)) == 4
