import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data.jpeg_file import (
    JpegFile,
    decode_jpeg,
    encode_jpeg,
    file_bytes,
    write_jpegs,
)


@pytest.fixture
def pixels() -> np.ndarray:
    """A picture with colours and edges."""
    colours = Image.radial_gradient("L").resize((48, 48))
    image = Image.merge(
        "RGB", (colours, colours.rotate(90), Image.linear_gradient("L").resize((48, 48)))
    )
    return np.asarray(image)


def test_pixels_are_nearly_the_same_after_compression(pixels: np.ndarray) -> None:
    again = decode_jpeg(encode_jpeg(pixels))
    assert (again.shape, again.dtype) == (pixels.shape, np.uint8)
    assert np.abs(again.astype(int) - pixels).mean() < 1.5


def test_colours_keep_their_resolution() -> None:
    """A red pixel beside a blue one stays red."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 200
    assert np.abs(decode_jpeg(encode_jpeg(stripes)).astype(int) - stripes).mean() < 6


def test_a_file_gives_back_each_image(tmp_path: Path) -> None:
    jpegs = [b"one", b"", b"three and more"]
    write_jpegs(tmp_path / "file", jpegs, limit_bytes=10**6)
    assert (tmp_path / "file").stat().st_size == file_bytes(17, 3)
    opened = JpegFile.open(tmp_path / "file")
    assert len(opened) == 3
    assert [opened[row] for row in range(3)] == jpegs


def test_a_file_that_grows_beyond_its_limit_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="file") as error:
        write_jpegs(tmp_path / "file", [b"12345"] * 3, limit_bytes=file_bytes(14, 3))
    assert error.value.errno == errno.EFBIG
    write_jpegs(tmp_path / "file", [b"12345"] * 3, limit_bytes=file_bytes(15, 3))
