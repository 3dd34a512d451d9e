"""Small DICOM files."""

import io

import numpy as np


def dicom_bytes(values: np.ndarray, *, preamble: bool = True, **fields: object) -> bytes:
    """DICOM file of grey values ``(h, w)`` or frames ``(n, h, w)``, with more ``fields``.

    A field that is None is left out.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    image.Rows, image.Columns = values.shape[-2:]
    if values.ndim == 3:
        image.NumberOfFrames = len(values)
    bits = 8 * values.dtype.itemsize
    image.BitsAllocated, image.BitsStored, image.HighBit = bits, bits, bits - 1
    image.PixelRepresentation = int(values.dtype.kind == "i")
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = values.tobytes()
    for name, value in fields.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    file = io.BytesIO()
    if not preamble:
        image.save_as(file, implicit_vr=False, little_endian=True)
        return file.getvalue()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()
