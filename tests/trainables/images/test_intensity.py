"""Grey values of more than 8 bits keep their contrast, and their level where they can."""

import numpy as np
import pytest

from trainables.images.intensity import to_eight_bits


def ramp(low: float, high: float, dtype: str = "uint16") -> np.ndarray:
    """Values that rise evenly from ``low`` to ``high``."""
    return np.linspace(low, high, 1000).reshape(20, 50).astype(dtype)


def ends(values: np.ndarray) -> list[int]:
    """Darkest and brightest of the 8-bit values."""
    scaled = to_eight_bits(values).values
    assert scaled.dtype == np.uint8
    return [int(scaled.min()), int(scaled.max())]


def test_values_that_use_the_sixteen_bits_are_divided_by_257() -> None:
    values = ramp(0, 65535)
    assert np.array_equal(to_eight_bits(values).values, values // 257)
    assert to_eight_bits(values).note == ""
    assert ends(ramp(1000, 40000)) == [1000 // 257, 40000 // 257]


@pytest.mark.parametrize(("top", "high"), [(255, 200), (4095, 3000), (16383, 16000)])
def test_values_of_fewer_bits_are_read_on_their_own_scale(top: int, high: int) -> None:
    assert ends(ramp(0, high)) == [0, high * 255 // top]
    assert to_eight_bits(ramp(0, high)).note == f"16-bit pixels were read on the scale 0..{top}"


def test_a_narrow_range_is_stretched_and_told() -> None:
    thermal = ramp(29000, 31000)
    assert ends(thermal) == [0, 255]
    note = to_eight_bits(thermal).note
    assert "16-bit pixels 290" in note and "stretched from black to white" in note


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (ramp(0, 1, "float32"), [0, 255]),
        (ramp(0.1, 0.7, "float32"), [25, 178]),
        (ramp(0, 200, "float32"), [0, 200]),
        (ramp(20.5, 37.5, "float32"), [0, 255]),
        (ramp(-1024, 3071, "int32"), [0, 255]),
    ],
)
def test_floating_point_and_signed_values_are_shown(
    values: np.ndarray, expected: list[int]
) -> None:
    assert ends(values) == expected


def test_a_hot_pixel_does_not_darken_the_rest() -> None:
    plain, hot = ramp(0, 4095), ramp(0, 4095)
    hot[-1, -1] = 65535
    assert np.array_equal(to_eight_bits(hot).values, to_eight_bits(plain).values)


def test_a_few_bright_pixels_on_an_even_ground_are_kept() -> None:
    values = np.full((100, 100), 300, np.uint16)
    values[0, :3] = 500
    assert ends(values) == [0, 255]


def test_values_that_are_no_numbers_become_black() -> None:
    values = ramp(20, 40, "float32")
    values[0, :2] = np.nan, np.inf
    assert to_eight_bits(values).values[0, :2].tolist() == [0, 255]
    with pytest.raises(ValueError, match="no pixel has a finite value"):
        to_eight_bits(np.full((4, 4), np.nan, np.float32))


def test_an_even_image_has_one_value() -> None:
    assert ends(np.full((4, 4), 30000, np.uint16)) == [116, 116]
    assert ends(np.full((4, 4), -5, np.int32)) == [0, 0]
