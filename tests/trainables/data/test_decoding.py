import io
from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image
from timm.data import create_transform

from trainables.data import IMAGE_ERRORS, read_rgb, resize_square


def saved(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photo() -> Image.Image:
    """A picture of a red left and a blue right half."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8, 0] = 200
    pixels[:, 8:, 2] = 200
    return Image.fromarray(pixels)


def corner(image: Image.Image) -> tuple[int, ...]:
    return tuple(np.asarray(image)[0, 0].tolist())


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA"])
def test_every_mode_becomes_rgb(photo: Image.Image, mode: str) -> None:
    image = read_rgb(saved(photo.convert(mode)))
    assert (image.mode, image.size) == ("RGB", (16, 8))


def test_sixteen_bit_grey_keeps_its_range() -> None:
    levels = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert np.asarray(read_rgb(saved(Image.fromarray(levels))))[0, :, 0].tolist() == [0, 100, 255]
    assert np.asarray(read_rgb(saved(Image.fromarray(levels), "tiff")))[0, 1, 0] == 100


def test_transparent_pixels_become_white(photo: Image.Image) -> None:
    clear = photo.convert("RGBA")
    clear.putalpha(0)
    assert corner(read_rgb(saved(clear))) == (255, 255, 255)


def test_a_transparent_palette_colour_becomes_white(photo: Image.Image) -> None:
    palette = photo.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    content = saved(palette, transparency=palette.getpixel((0, 0)))
    assert corner(read_rgb(content)) == (255, 255, 255)


def test_cmyk_keeps_its_colours(photo: Image.Image) -> None:
    red = corner(read_rgb(saved(photo.convert("CMYK"), "jpeg", quality=95)))
    assert red[0] > 150
    assert red[2] < 60


def test_exif_orientation_is_applied(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: what is stored as left is shown on top
    image = read_rgb(saved(photo, "jpeg", exif=exif, quality=95))
    assert image.size == (8, 16)
    assert corner(image)[0] > 150
    assert tuple(np.asarray(image)[-1, -1])[2] > 150


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_a_truncated_file_raises_an_error(photo: Image.Image, cut: int) -> None:
    with pytest.raises(IMAGE_ERRORS):
        read_rgb(saved(photo)[:cut])


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(IMAGE_ERRORS, match="8 or 16 bit"):
        read_rgb(saved(Image.fromarray(np.zeros((4, 4), np.float32)), "tiff"))


def test_resizing_equals_timms_transform_with_the_exported_settings(digits: Path) -> None:
    image = read_rgb(next((digits / "one").iterdir())).resize((40, 25))
    model = timm.create_model("test_vit")
    config = timm.data.resolve_model_data_config(model)
    config |= {"crop_pct": 1.0, "crop_mode": "squash", "input_size": (3, 32, 32)}
    config |= {"interpolation": "bicubic", "mean": (0, 0, 0), "std": (1, 1, 1)}
    theirs = create_transform(**config)(image)
    ours = resize_square(image, 32, "bicubic")
    assert np.allclose(theirs.permute(1, 2, 0).numpy() * 255, ours, atol=1e-4)


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A large JPEG with some detail in it."""
    y, x = np.mgrid[:400, :600]
    waves = [128 + 100 * np.sin(x / (9 + 4 * k)) * np.cos(y / (11 + 3 * k)) for k in range(3)]
    file = tmp_path / "waves.jpg"
    Image.fromarray(np.stack(waves, axis=2).astype(np.uint8)).save(file, quality=92)
    return file


def test_a_jpeg_read_smaller_looks_the_same_after_resizing(photograph: Path) -> None:
    small = read_rgb(photograph, side=64)
    assert small.size == (300, 200)
    full = resize_square(read_rgb(photograph), 64, "bicubic").astype(int)
    assert np.abs(full - resize_square(small, 64, "bicubic")).mean() < 1.5
    assert read_rgb(photograph, side=101).size == (600, 400)


def test_a_damaged_jpeg_is_refused_at_any_size(photograph: Path) -> None:
    content = bytearray(photograph.read_bytes())
    content[3000:3040] = b"\xff\xc4" * 20
    for side in (None, 101, 64, 16):
        with pytest.raises(IMAGE_ERRORS):
            read_rgb(bytes(content), side=side)


def test_rotated_and_cmyk_jpegs_are_decoded_at_full_size(photograph: Path) -> None:
    image = Image.open(photograph)
    exif = Image.Exif()
    exif[274] = 6
    rotated, cmyk = photograph.with_name("rotated.jpg"), photograph.with_name("cmyk.jpg")
    image.save(rotated, exif=exif)
    image.convert("CMYK").save(cmyk)
    for file in (rotated, cmyk):
        plain = np.asarray(read_rgb(file))
        assert np.array_equal(np.asarray(read_rgb(file, side=32)), plain)
    cut = photograph.read_bytes()[:-500]
    with pytest.raises(IMAGE_ERRORS):
        read_rgb(cut, side=32)
