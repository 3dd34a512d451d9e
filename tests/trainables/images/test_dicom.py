"""DICOM images look as a viewer shows them."""

import io
import sys

import numpy as np
import pytest

from tests.support.dicom import dicom_bytes
from trainables.images import IMAGE_ERRORS, read_rgb
from trainables.images.dicom import read_dicom

XRAY = np.linspace(0, 4095, 400).reshape(20, 20).astype(np.uint16)
SMALL = dicom_bytes(XRAY)


def grey(content: bytes) -> np.ndarray:
    """Grey levels, ``(h, w)`` integers."""
    return read_dicom(content)[0].values.astype(int)


def test_the_window_of_the_file_is_applied() -> None:
    shown = grey(dicom_bytes(XRAY, WindowCenter=1000, WindowWidth=500))
    expected = np.clip((XRAY - 750.0) / 500, 0, 1) * 255
    assert np.abs(shown - expected).max() < 2
    assert read_dicom(dicom_bytes(XRAY, WindowCenter=1000, WindowWidth=500))[0].note == ""


def test_of_several_windows_the_first_is_applied() -> None:
    several = dicom_bytes(XRAY, WindowCenter=[1000, 40], WindowWidth=[500, 400])
    assert np.array_equal(
        grey(several), grey(dicom_bytes(XRAY, WindowCenter=1000, WindowWidth=500))
    )


def test_a_window_is_in_units_after_rescaling() -> None:
    stored = (XRAY // 2).astype(np.int16)
    fields = {"WindowCenter": 40, "WindowWidth": 400}
    shown = grey(dicom_bytes(stored, RescaleSlope=1, RescaleIntercept=-1024, **fields))
    expected = np.clip((stored - 1024.0 + 160) / 400, 0, 1) * 255
    assert np.abs(shown - expected).max() < 2


def test_monochrome1_is_inverted() -> None:
    fields = {"WindowCenter": 2048, "WindowWidth": 4096}
    inverted = grey(dicom_bytes(XRAY, PhotometricInterpretation="MONOCHROME1", **fields))
    assert np.array_equal(inverted, 255 - grey(dicom_bytes(XRAY, **fields)))


@pytest.mark.parametrize(
    "fields", [{}, {"WindowCenter": 100, "WindowWidth": 0}, {"WindowCenter": "", "WindowWidth": ""}]
)
def test_without_a_window_the_contrast_is_kept_and_told(fields: dict[str, object]) -> None:
    pixels, _ = read_dicom(dicom_bytes(XRAY, **fields))
    assert (int(pixels.values.min()), int(pixels.values.max())) == (0, 255)
    assert pixels.note == "16-bit pixels were read on the scale 0..4095"


def test_eight_bits_without_a_window_are_kept() -> None:
    values = np.linspace(60, 90, 400).reshape(20, 20).astype(np.uint8)
    pixels, _ = read_dicom(dicom_bytes(values, RescaleSlope=1, RescaleIntercept=0))
    assert np.array_equal(pixels.values, values)
    assert pixels.note == ""


def test_a_file_that_is_tiff_and_dicom_at_once_is_read_as_dicom() -> None:
    content = b"II*\0" + dicom_bytes(XRAY)[4:]
    assert read_rgb(content).size == (20, 20)


def test_a_table_of_output_values_is_applied() -> None:
    from pydicom.dataset import Dataset

    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.add_new(0x00283006, "US", [65535 - 257 * k for k in range(256)])
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    content = dicom_bytes(eight, VOILUTSequence=[table], RescaleSlope=1, RescaleIntercept=0)
    assert np.array_equal(grey(content), 255 - eight.astype(int))


def test_of_several_frames_the_first_is_read() -> None:
    frames = np.stack([XRAY, XRAY[::-1], XRAY])
    pixels, count = read_dicom(dicom_bytes(frames))
    assert count == 3
    assert np.array_equal(pixels.values, read_dicom(dicom_bytes(XRAY))[0].values)


def test_colours_are_kept() -> None:
    colours = np.zeros((20, 20, 3), np.uint8)
    colours[..., 0] = 200
    content = dicom_bytes(
        colours[..., 0],
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PixelData=colours.tobytes(),
    )
    assert np.asarray(read_rgb(content))[0, 0].tolist() == [200, 0, 0]


def test_a_file_without_a_preamble_is_dicom_too() -> None:
    content = dicom_bytes(XRAY, preamble=False)
    assert np.array_equal(grey(content), grey(dicom_bytes(XRAY)))
    assert read_rgb(content).size == (20, 20)


def test_a_compressed_file_is_read() -> None:
    from pydicom import dcmread
    from pydicom.uid import RLELossless

    image = dcmread(io.BytesIO(dicom_bytes(XRAY)))
    image.compress(RLELossless)
    file = io.BytesIO()
    image.save_as(file)
    assert np.array_equal(grey(file.getvalue()), grey(dicom_bytes(XRAY)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (dicom_bytes(XRAY, PixelData=None), "without an image"),
        (dicom_bytes(XRAY, Rows=None), "can't be read .*Rows"),
        (dicom_bytes(XRAY)[:-300], "."),
    ],
)
def test_a_damaged_file_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(IMAGE_ERRORS, match=reason):
        read_dicom(content)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"^DICOM needs pydicom; pip install 'finesweep\[medical"):
        read_dicom(SMALL)
