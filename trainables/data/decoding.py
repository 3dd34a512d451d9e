"""Decode any image file to 8-bit RGB, whatever its mode, depth, transparency or orientation."""

import hashlib
import io
import struct
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

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
"""Exceptions that Pillow raises for files that are truncated, damaged, too large or not images."""


def describe_image_error(error: Exception) -> str:
    """Short reason why an image can't be read. ``error`` is one of `IMAGE_ERRORS`."""
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    return str(error) or type(error).__name__


def content_digest(content: bytes) -> str:
    """Hash of an image file's bytes, equal for exact copies."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def frame_count(content: bytes) -> int:
    """Number of frames in a TIFF or GIF; 1 for all other formats."""
    if not content.startswith((b"II*\0", b"MM\0*", b"GIF8")):
        return 1
    with Image.open(io.BytesIO(content)) as image:
        return int(getattr(image, "n_frames", 1))


def read_rgb(source: Path | bytes, *, side: int | None = None) -> Image.Image:
    """Decode an image into mode RGB, upright.

    16-bit grey keeps its full range (65535 becomes white). Transparent pixels are composited on
    white. CMYK and palettes are converted. EXIF orientation is applied. Of several frames, the
    first is decoded.

    ``side`` is the size in pixels to which the caller will resize the image. A JPEG at least four
    times as large is decoded at 1/2, 1/4 or 1/8 of its size (see `jpeg_reduction`). This halves
    the decoding time, with hardly a visible difference after resizing. The whole file is read in
    any case, so a damaged file is always refused.

    Raises one of `IMAGE_ERRORS`.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    factor = 1 if side is None else jpeg_reduction(content, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(content)) as image:
            if factor != 1:
                image.draft(image.mode, (image.width // factor, image.height // factor))
            image.load()
            try:
                upright = ImageOps.exif_transpose(image)
            except IMAGE_ERRORS:  # damaged EXIF data: take the image as it is stored
                upright = image.copy()
    return _to_rgb(upright)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB. Raises `ValueError` for floating-point pixels."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no agreed range; save as 8 or 16 bit")
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def jpeg_reduction(content: bytes, side: int) -> Literal[1, 2, 4, 8]:
    """Factor by which `read_rgb` reduces a JPEG that will be resized to ``side`` pixels.

    The reduced image's shorter side is at least ``2 * side``. The factor is 1 for other formats,
    for rotated JPEGs, and for JPEGs that are neither grey nor RGB.
    """
    if not content.startswith(b"\xff\xd8"):
        return 1
    with Image.open(io.BytesIO(content)) as header:
        plain = header.format == "JPEG" and header.mode in ("L", "RGB")
        rotated = header.getexif().get(ExifTags.Base.Orientation, 1) != 1
        ratio = min(header.size) // (2 * side)
    if not plain or rotated or ratio < 2:
        return 1
    return 8 if ratio >= 8 else 4 if ratio >= 4 else 2


def resize_square(image: Image.Image, side: int, interpolation: str) -> np.ndarray:
    """Resize to ``(side, side, 3)`` uint8. Does not crop, and does not keep the aspect ratio.

    Equal to timm's evaluation transform with ``crop_mode="squash"`` and ``crop_pct=1``.
    ``interpolation`` is timm's name: "bilinear", "bicubic", "lanczos" or "nearest".
    """
    method = Image.Resampling[interpolation.upper()]
    return np.asarray(image.resize((side, side), method))
