import io
import re
import sys
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from spaces import Fit
from trainables.images import IMAGE_ERRORS, PixelFormat, describe_image_error, read_rgb
from trainables.images import decoding as decoding
from trainables.images.decoding import decode


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


@pytest.mark.parametrize("kind", ["avif", "heif"])
def test_a_damaged_file_of_a_newer_format_raises_an_error_that_readers_expect(
    photo: Image.Image, kind: str
) -> None:
    """Decoders of these formats raise errors of many kinds."""
    if kind == "heif":
        pytest.importorskip("pillow_heif").register_heif_opener()
    content, failures = saved(photo.resize((64, 64)), kind), 0
    for start in range(0, len(content), max(1, len(content) // 20)):
        damaged = content[:start] + bytes(64) + content[start + 64 :]
        try:
            decode(damaged)
        except IMAGE_ERRORS:
            failures += 1
    assert failures > 0


def test_a_deflated_dicom_file_that_was_cut_raises_an_error_that_readers_expect() -> None:
    pydicom = pytest.importorskip("pydicom")
    content = Path(pydicom.data.get_testdata_file("image_dfl.dcm")).read_bytes()
    with pytest.raises(IMAGE_ERRORS):
        decode(content[: len(content) // 2])


def test_a_twelve_bit_image_is_not_black() -> None:
    levels = np.linspace(0, 4095, 400).reshape(20, 20).astype(np.uint16)
    for kind in ("png", "tiff"):
        image = decode(saved(Image.fromarray(levels), kind))
        assert np.asarray(image.rgb)[-1, -1].tolist() == [255, 255, 255]
        assert "0..4095" in image.note


def test_floating_point_pixels_keep_their_contrast() -> None:
    celsius = np.linspace(18, 39, 400).reshape(20, 20).astype(np.float32)
    image = decode(saved(Image.fromarray(celsius), "tiff"))
    assert np.asarray(image.rgb).min() == 0 and np.asarray(image.rgb).max() == 255
    assert "floating-point pixels 18" in image.note


@pytest.mark.parametrize("compression", [1, 5, 8], ids=["none", "LZW", "deflate"])
def test_grey_tiffs_of_double_precision_are_decoded(compression: int) -> None:
    values = np.linspace(0, 1, 400).reshape(20, 20)
    _, content = cv2.imencode(".tif", values, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    image = decode(content.tobytes())
    assert np.abs(np.asarray(image.rgb)[:, :, 0] - 255 * values).max() <= 1


def test_of_deep_colours_the_upper_eight_bits_are_kept() -> None:
    levels = np.full((4, 4, 3), 4095, np.uint16)
    for scale, value in ((1, 15), (16, 255)):
        _, content = cv2.imencode(".png", levels * scale)
        assert corner(decode(content.tobytes()).rgb) == (value,) * 3


def test_a_deep_tiff_whose_zero_is_white_is_inverted() -> None:
    levels = np.array([[0, 257 * 100, 65535]], np.uint16)
    content = saved(Image.fromarray(levels), "tiff", tiffinfo={262: 0})
    assert np.asarray(read_rgb(content))[0, :, 0].tolist() == [255, 155, 0]


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "tiff", "mpo", "avif"])
def test_of_several_frames_the_first_is_decoded_and_all_are_counted(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    image = decode(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert image.frames == 3
    red, green, blue = corner(image.rgb)
    assert red > 240 and max(green, blue) < 20


@pytest.mark.parametrize("kind", ["avif", "jpeg2000", "heif"])
def test_newer_formats_are_decoded(photo: Image.Image, kind: str) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    image = decode(saved(photo.resize((64, 32)), kind))
    assert (image.rgb.size, image.frames) == ((64, 32), 1)
    assert corner(image.rgb)[0] > 150


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "^a Git LFS pointer; run git lfs pull$"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "^JPEG XL is not supported; convert it to PNG or JPEG$"),
        (b"BM" + bytes(12) + b"\x28\0\0\0" + b"\xff" * 40, "BMP"),
        (b"II*\0" + bytes(60), "^a damaged TIFF file, or one of an unusual kind$"),
        (b"<html>", "^not an image in a known format$"),
    ],
)
def test_the_reason_names_what_the_file_is(content: bytes, reason: str) -> None:
    with pytest.raises(IMAGE_ERRORS) as caught:
        read_rgb(content)
    assert re.search(reason, describe_image_error(caught.value))


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    decoding._register_heif.cache_clear()
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ValueError, match=r"^HEIC needs pillow-heif; pip install 'finesweep\[heif"):
        read_rgb(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    decoding._register_heif.cache_clear()
    monkeypatch.setattr(decoding.features, "check", lambda codec: codec != "avif")
    with pytest.raises(ValueError, match=r"^this Pillow has no AVIF; pip install"):
        read_rgb(b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf")


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
    for fit in get_args(Fit):
        resize = PixelFormat.of(64, "bicubic", fit, (0.5, 0.5, 0.5)).resize
        full = resize(read_rgb(photograph)).astype(int)
        assert np.abs(full - resize(small)).mean() < 1.5
    assert read_rgb(photograph, side=101).size == (600, 400)


def test_a_damaged_jpeg_is_refused_at_any_size(photograph: Path) -> None:
    content = bytearray(photograph.read_bytes())
    content[3000:3040] = b"\xff\xc4" * 20
    for side in (None, 101, 64, 16):
        with pytest.raises(IMAGE_ERRORS):
            read_rgb(bytes(content), side=side)


def test_a_jpeg_whose_end_is_zeros_is_refused_and_zeros_behind_the_end_are_not(
    photograph: Path,
) -> None:
    content = photograph.read_bytes()
    half = len(content) // 2
    with pytest.raises(ValueError, match="cut off: its end is filled with zeros"):
        read_rgb(content[:half] + bytes(half))
    assert read_rgb(content + bytes(half)).tobytes() == read_rgb(content).tobytes()


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
