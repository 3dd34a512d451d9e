"""One image file to 8-bit RGB, whatever its mode, depth, transparency or orientation."""

import hashlib
import io
import struct
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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


def reason_of(error: Exception) -> str:
    """Why an image can't be read, of one of `IMAGE_ERRORS`."""
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known kind"
    return str(error) or type(error).__name__


def digest_of(content: bytes) -> str:
    """Hash of an image file's bytes: equal for exact copies."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def frame_count(content: bytes) -> int:
    """How many frames a TIFF or GIF has; 1 for everything else."""
    if not content.startswith((b"II*\0", b"MM\0*", b"GIF8")):
        return 1
    with Image.open(io.BytesIO(content)) as image:
        return int(getattr(image, "n_frames", 1))


def read_rgb(source: Path | bytes, *, side: int | None = None) -> Image.Image:
    """Decode all of an image into mode RGB, upright.

    If it is meant to be resized to ``side`` pixels, a JPEG of four times that or more comes at a
    half, a quarter or an eighth of its size: that takes its decoder half the time, and is hardly
    seen afterwards. A damaged one is refused at any size.

    16-bit grey keeps its full range (65535 is white), transparency lies on white, CMYK and palettes
    are converted, EXIF orientation is applied; of several frames the first is taken.

    Raises one of `IMAGE_ERRORS`.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    by = 1 if side is None else reduction(content, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content)) as image:
            if by != 1:
                image.draft(image.mode, (image.width // by, image.height // by))
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


def reduction(content: bytes, side: int) -> Literal[1, 2, 4, 8]:
    """By how much `read_rgb` shrinks an image that is meant for ``side`` pixels.

    1 for all that is not a plain JPEG: other kinds of file, other colours, rotated.
    """
    if not content.startswith(b"\xff\xd8"):
        return 1
    with Image.open(io.BytesIO(content)) as header:
        plain = header.format == "JPEG" and header.mode in ("L", "RGB")
        turned = header.getexif().get(ExifTags.Base.Orientation, 1) != 1
        times = min(header.size) // (2 * side)
    if not plain or turned or times < 2:
        return 1
    return 8 if times >= 8 else 4 if times >= 4 else 2


def resize_square(image: Image.Image, side: int, interpolation: str) -> np.ndarray:
    """The whole image squeezed into ``(side, side, 3)`` uint8; nothing is cropped away.

    Equal to timm's evaluation transform with ``crop_mode="squash"`` and ``crop_pct=1``.
    ``interpolation`` is timm's name: "bilinear", "bicubic", "lanczos" or "nearest".
    """
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(image.resize((side, side), method))
