"""One image file to 8-bit RGB, whatever its mode, depth, transparency or orientation."""

import hashlib
import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# What Pillow raises on files that are no images, cut short, damaged inside, or far too large.
IMAGE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
)


def digest_of(content: bytes) -> str:
    """Hash of an image file's bytes: equal for exact copies."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def read_rgb(source: Path | bytes) -> Image.Image:
    """Decode all of an image into mode RGB, upright.

    16-bit grey keeps its full range (65535 is white), transparency lies on white, CMYK and palettes
    are converted, EXIF orientation is applied; of several frames the first is taken.

    Raises one of `IMAGE_ERRORS`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            try:
                upright = ImageOps.exif_transpose(image)
            except IMAGE_ERRORS:  # a damaged orientation is none
                upright = image.copy()
    if upright.mode == "F":
        raise ValueError("floating-point pixels have no agreed range; save as 8 or 16 bit")
    if upright.mode.startswith("I"):
        grey = np.clip(np.asarray(upright).astype(np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return upright.convert("RGB")


def resize_square(image: Image.Image, side: int, interpolation: str) -> np.ndarray:
    """The whole image squeezed into ``(side, side, 3)`` uint8; nothing is cropped away.

    Equal to timm's evaluation transform with ``crop_mode="squash"`` and ``crop_pct=1``.
    ``interpolation`` is timm's name: "bilinear", "bicubic", "lanczos" or "nearest".
    """
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(image.resize((side, side), method))
