"""Decode any image file to 8-bit RGB, whatever its format, depth, transparency or orientation."""

import hashlib
import io
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import PIL
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, features

from spaces.errors import first_line
from trainables.images.dicom import read_dicom
from trainables.images.image_file import read_image_file
from trainables.images.image_formats import GIT_LFS_POINTER, HEAD_BYTES, sniff_format
from trainables.images.intensity import to_eight_bits

DECODER_VERSION = f"3-pillow-{PIL.__version__}"
"""Part of the names of caches. Change it whenever the same image decodes to other pixels."""

# Pillow can unpack 64-bit floating-point pixels, but its table of TIFF formats does not list them.
TiffImagePlugin.OPEN_INFO.setdefault((b"II", 1, (3,), 1, (64,), ()), ("F", "F;64F"))
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 1, (3,), 1, (64,), ()), ("F", "F;64BF"))

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
    if isinstance(error, OSError) and error.strerror:  # of the file system, not of the image
        return error.strerror.lower()
    return str(error) or type(error).__name__


def content_digest(content: bytes) -> str:
    """Hash of an image file's bytes, equal for exact copies."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


@dataclass(frozen=True)
class DecodedImage:
    """Image as a model gets it, and what a person should know of how it was made."""

    rgb: Image.Image
    """Mode RGB, upright."""
    frames: int = 1
    """Number of frames or pages in the file, of which ``rgb`` is the first."""
    note: str = ""
    """Sentence on how pixels of more than 8 bits were scaled; empty if there is nothing to say."""


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image as it is stored, by its header. Raises one of `IMAGE_ERRORS`."""
    content = read_image_file(path)
    file_format = sniff_format(content[:HEAD_BYTES])
    _check_support(file_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images
        with _open(content, file_format) as image:
            return image.size


def read_rgb(source: Path | bytes, *, side: int | None = None) -> Image.Image:
    """Decode an image into mode RGB, upright; see `decode`. Raises one of `IMAGE_ERRORS`."""
    content = source if isinstance(source, bytes) else read_image_file(source)
    return decode(content, side=side).rgb


def decode(content: bytes, *, side: int | None = None) -> DecodedImage:
    """Decode an image file, whose format is known by its content, into mode RGB, upright.

    Grey pixels of more than 8 bits keep their contrast; `to_eight_bits` has the rule. Of 16-bit
    colours, the upper 8 bits are kept. Transparent pixels are composited on white. CMYK and
    palettes are converted. EXIF orientation is applied. Of several frames, the first is decoded; in
    HEIC, the primary image. DICOM is read by `read_dicom`, HEIC by pillow-heif, all others by
    Pillow.

    ``side`` is the side in pixels of the square that the caller will make of the image. A JPEG at
    least four times as large is decoded at 1/2, 1/4 or 1/8 of its size, so that the shorter side is
    still at least ``2 * side``: no fit enlarges it. This halves the decoding time, with hardly a
    visible difference after resizing. The whole file is read in any case, so a damaged file is
    always refused.

    Raises one of `IMAGE_ERRORS`.
    """
    return decode_for_sides(content, [side])[0]


def decode_for_sides(content: bytes, sides: Sequence[int | None]) -> list[DecodedImage]:
    """What `decode` gives for each of ``sides``; decodes once where that is the same image.

    Raises one of `IMAGE_ERRORS`, whatever the library of a format raises.
    """
    try:
        return _decode_for_sides(content, sides)
    except (*IMAGE_ERRORS, MemoryError):
        raise
    except Exception as error:  # such as RuntimeError of AVIF, and zlib.error of DICOM
        raise ValueError(first_line(error)) from error


def _decode_for_sides(content: bytes, sides: Sequence[int | None]) -> list[DecodedImage]:
    file_format = sniff_format(content[:HEAD_BYTES])
    if file_format == "DICOM":
        pixels, frames = read_dicom(content)
        rgb = Image.fromarray(pixels.values).convert("RGB")
        return [DecodedImage(rgb, frames, pixels.note)] * len(sides)
    _check_support(file_format)
    if file_format == "JPEG":
        _refuse_zeros_for_an_end(content)
    decoded: dict[int, DecodedImage] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of large images, and of damaged tags that don't matter
        with _open(content, file_format) as image:
            factors = [_reduction(image, side) for side in sides]
            decoded[factors[0]] = _decode_opened(image, factors[0])
        for factor in set(factors[1:]) - {factors[0]}:
            with _open(content, file_format) as image:
                decoded[factor] = _decode_opened(image, factor)
    return [decoded[factor] for factor in factors]


def _refuse_zeros_for_an_end(content: bytes) -> None:
    """Raise `ValueError` for a JPEG file whose end is zeros, as a broken copy leaves it.

    Pillow takes them for grey pixels. Zeros behind the end of the image do no harm.
    """
    scan = content.rfind(b"\xff\xda")
    if content.endswith(bytes(16)) and content.find(b"\xff\xd9", scan) < 0:
        raise ValueError("image file is cut off: its end is filled with zeros")


def _decode_opened(image: Image.Image, factor: int) -> DecodedImage:
    """Decode an opened image at 1/``factor`` of its size."""
    frames = int(getattr(image, "n_frames", 1))
    if factor != 1:
        image.draft(image.mode, (image.width // factor, image.height // factor))
    image.load()
    try:
        upright = ImageOps.exif_transpose(image)
    except IMAGE_ERRORS:  # damaged EXIF data: take the image as it is stored
        upright = image.copy()
    rgb, note = _to_rgb(upright, is_negative=_is_negative(image))
    return DecodedImage(rgb, frames, note)


def _check_support(file_format: str | None) -> None:
    """Raise `ValueError`, with the way out, if this installation can't read a format."""
    if file_format == GIT_LFS_POINTER:
        raise ValueError("a Git LFS pointer; run git lfs pull")
    if file_format == "JPEG XL":
        raise ValueError("JPEG XL is not supported; convert it to PNG or JPEG")
    if file_format == "HEIC" and not _register_heif():
        raise ValueError("HEIC needs pillow-heif; pip install 'finesweep[heif]'")
    codec = _PILLOW_CODECS.get(file_format or "")
    if codec and not features.check(codec):
        raise ValueError(f"this Pillow has no {file_format}; pip install --upgrade pillow")


_PILLOW_CODECS = {"AVIF": "avif", "JPEG 2000": "jpg_2000", "WebP": "webp"}
"""Parts that Pillow's own wheels have, and that other builds may lack, by format."""


@lru_cache
def _register_heif() -> bool:
    """Make Pillow open HEIC files. False if pillow-heif is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _open(content: bytes, file_format: str | None) -> Image.Image:
    """Open an image. Raises `ValueError` for a known format that Pillow does not recognize."""
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        if file_format is None:
            raise
        raise ValueError(f"a damaged {file_format} file, or one of an unusual kind") from None


def _is_negative(image: Image.Image) -> bool:
    """Whether 0 is white. Pillow inverts such a TIFF itself if it has 8 bits or fewer."""
    is_deep = image.mode.startswith(("I", "F"))
    return (
        is_deep and getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == 0
    )


def _to_rgb(image: Image.Image, *, is_negative: bool) -> tuple[Image.Image, str]:
    """Convert any mode to RGB. Returns a note on the scale if it was chosen from the pixels."""
    if image.mode.startswith(("I", "F")):
        grey = to_eight_bits(np.asarray(image))
        values = 255 - grey.values if is_negative else grey.values
        return Image.fromarray(values).convert("RGB"), grey.note
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB"), ""
    return image.convert("RGB"), ""


def _reduction(image: Image.Image, side: int | None) -> int:
    """Factor by which an opened image is reduced while it is decoded; see `decode`.

    It is 1 for all formats but JPEG, for rotated JPEGs, and for those neither grey nor RGB.
    """
    if side is None or image.format != "JPEG" or image.mode not in ("L", "RGB"):
        return 1
    ratio = min(image.size) // (2 * side)
    if ratio < 2 or image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return 1
    return 8 if ratio >= 8 else 4 if ratio >= 4 else 2
