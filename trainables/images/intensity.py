"""Intensity window: pixels of more than 8 bits, brought to 8 bits so that the contrast stays."""

from dataclasses import dataclass

import numpy as np

_TOPS = (1, 255, 1023, 4095, 16383, 65535)
"""White of common scales: fractions and masks, then 8, 10, 12, 14 and 16 bits."""

_PERCENTILES = (0.5, 99.5)
"""Percentiles of an image between which its pixels count as in use. Dead and hot pixels do not."""


@dataclass(frozen=True)
class EightBitPixels:
    """Pixels brought to 8 bits."""

    values: np.ndarray
    """uint8, in the shape of the image."""
    note: str
    """Sentence on how they were scaled; empty for 16-bit pixels that use the 16 bits."""


def to_eight_bits(values: np.ndarray) -> EightBitPixels:
    """Scale an image's grey values, integers or floating-point numbers, to 0..255.

    The rule looks at the range in use: from the 0.5th to the 99.5th percentile of the image's
    finite values, or all of it if these two are equal.

    1. The scale is the smallest of 0..1, and 8, 10, 12, 14 and 16 bits, that holds the range in
       use. If the range covers half of the scale or more, 0 becomes black and the top of the scale
       white, whatever else the image holds. Images of one scale so remain comparable.
    2. Otherwise the range in use is stretched from black to white: thermal images, for example, or
       values below 0. The absolute level is then lost, and a cold and a warm image of the same
       pattern look the same. Where the level itself tells the classes apart, save the images as
       8 bits with one scale of your own.

    Values beyond an end become black or white. Values that are no numbers become black. The result
    depends on nothing but the image. An image of one value keeps it by rule 1, or is black.

    Raises `ValueError` if no value is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("no pixel has a finite value")
    low, high = _range_in_use(finite)
    kind = "floating-point" if values.dtype.kind == "f" else f"{8 * values.dtype.itemsize}-bit"
    top = next((top for top in _TOPS if low >= 0 and high <= top), None)
    if top is not None and (high - low >= top / 2 or low == high):
        plain = kind == "16-bit" and top == _TOPS[-1]
        note = "" if plain else f"{kind} pixels were read on the scale 0..{top}"
        return EightBitPixels(scale(values, 0, top), note)
    note = f"{kind} pixels {low:g}..{high:g} were stretched from black to white"
    return EightBitPixels(scale(values, low, high), note)


def scale(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Linear map of ``black`` to 0 and ``white`` to 255, rounded down and clipped, as uint8.

    If the two are equal, all pixels become black. NaN becomes black.
    """
    if white <= black:
        return np.zeros(values.shape, np.uint8)
    numbers = np.nan_to_num(values.astype(np.float64), nan=black, posinf=white, neginf=black)
    clipped = np.clip(numbers, black, white)
    return ((clipped - black) * 255 / (white - black)).astype(np.uint8)


def _range_in_use(finite: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value in use. They are values of the image, never between two."""
    low, high = _PERCENTILES
    lowest = float(np.percentile(finite, low, method="lower"))
    highest = float(np.percentile(finite, high, method="higher"))
    return (lowest, highest) if lowest < highest else (float(finite.min()), float(finite.max()))
