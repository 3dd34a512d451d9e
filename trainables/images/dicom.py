"""DICOM: the first frame of a medical image, with its window and photometric interpretation.

Everything that pydicom is used for is here. It comes with the extra ``medical``.
"""

import io
import warnings
from typing import TYPE_CHECKING

import numpy as np

from trainables.images.intensity import EightBitPixels, scale, to_eight_bits

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
"""Fields that may hold an image."""
_FAR = 1e12
"""Value beyond the window of any image."""


def read_dicom(content: bytes) -> tuple[EightBitPixels, int]:
    """First frame of a DICOM file, ``(h, w)`` grey or ``(h, w, 3)`` RGB, and the number of frames.

    Grey values pass the modality transform (rescale slope and intercept, or a table), then the
    first of the file's windows or its VOI table. Without a usable window, the stored values are
    scaled by `to_eight_bits`, or kept if they have 8 bits. MONOCHROME1 is inverted, so that air is
    dark in every X-ray. Colours are converted from a palette or YBR. Overlays and presentation
    states are not applied.

    Raises `ValueError`, with a sentence, if pydicom is missing or the file can't be read.
    """
    try:
        import pydicom
    except ImportError:
        raise ValueError("DICOM needs pydicom; pip install 'finesweep[medical]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every deviation from the standard
        try:
            image = pydicom.dcmread(io.BytesIO(content), force=True)
            if not any(name in image for name in _PIXELS):
                raise ValueError("a DICOM file without an image")
            if "TransferSyntaxUID" not in image.file_meta:
                image.file_meta.TransferSyntaxUID = _syntax(image)
            pixels = _to_eight_bits(_first_frame(image), image)
            return pixels, int(image.get("NumberOfFrames") or 1)
        except (AttributeError, RecursionError) as error:  # a missing field, or broken nesting
            raise ValueError(f"a DICOM file that can't be read ({error})") from error


def _first_frame(image: "Dataset") -> np.ndarray:
    """Stored values of the first frame. Raises `ValueError` if no decoder can read them."""
    from pydicom.pixels import pixel_array

    try:
        return np.asarray(pixel_array(image, index=0))
    except RuntimeError as error:
        name = image.file_meta.TransferSyntaxUID.name
        raise ValueError(f"a DICOM file whose pixels can't be decoded ({name})") from error


def _syntax(image: "Dataset") -> str:
    """Transfer syntax of a file that does not name it, from how pydicom read the file."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    is_implicit, is_little_endian = image.original_encoding
    if is_implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian)


def _to_eight_bits(values: np.ndarray, image: "Dataset") -> EightBitPixels:
    """Grey values or colours as they are meant to be shown."""
    from pydicom.pixels import apply_color_lut

    interpretation = image.PhotometricInterpretation
    if interpretation == "PALETTE COLOR":
        colours = apply_color_lut(values, image)
        return EightBitPixels(scale(colours, 0, np.iinfo(colours.dtype).max), "")
    if interpretation not in ("MONOCHROME1", "MONOCHROME2"):
        return EightBitPixels(scale(values, 0, 2**image.BitsStored - 1), "")
    grey = _windowed(values, image)
    return EightBitPixels(255 - grey.values, grey.note) if interpretation.endswith("1") else grey


def _windowed(values: np.ndarray, image: "Dataset") -> EightBitPixels:
    """Grey values in the file's first window; without one, the stored values."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut, apply_windowing

    levels = apply_modality_lut(values, image)
    if image.get("VOILUTSequence"):
        return to_eight_bits(apply_voi_lut(np.rint(levels).astype(np.int64), image))
    try:
        if image.get("WindowCenter") is not None and image.get("WindowWidth") is not None:
            shown = apply_windowing(levels, image)
            black, white = apply_windowing(np.array([-_FAR, _FAR]), image)
            return EightBitPixels(scale(shown, black, white), "")
    except ValueError:  # a window without a width, or of an unknown function
        pass
    if values.dtype == np.uint8:
        return EightBitPixels(scale(values, 0, 2**image.BitsStored - 1), "")
    return to_eight_bits(values)
