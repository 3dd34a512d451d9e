"""Image formats: what a file is, by its first bytes, and by its suffix where these can't say."""

import re
from pathlib import Path

IMAGE_SUFFIXES = {
    *(".apng", ".avif", ".bmp", ".dcm", ".dib", ".dicom", ".gif", ".heic", ".heif", ".hif"),
    *(".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".jxl", ".mpo"),
    *(".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
}
"""Suffixes of image files, in lower case."""

_CAMERA_RAW_SUFFIXES = {
    *(".3fr", ".arw", ".cr2", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".nef", ".nrw"),
    *(".orf", ".pef", ".rw2", ".sr2", ".srf", ".srw"),
}
"""Suffixes of camera raw files. Many begin as TIFF does, with a thumbnail as their first image."""

HEAD_BYTES = 512
"""Number of bytes from which `sniff_format` knows a file's format."""

GIT_LFS_POINTER = "Git LFS pointer"
"""Result of `sniff_format` for the text file that stands in for a file kept in Git LFS."""

_SIGNATURES = (
    (rb".{128}DICM", "DICOM"),  # before the others: its first 128 bytes may be those of a TIFF
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"GIF8[79]a", "GIF"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"BM.{4}.{8}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),  # the size of a known header
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "JPEG XL"),
    (rb"[\x02\x08]\0[\0\x05\x08\x16]\0(U[IL]|CS|[\x02-\x40]\0\0\0)", "DICOM"),  # no preamble
    (rb"P[1-6]\s+(#[^\n]*\n\s*)*\d+\s+(#[^\n]*\n\s*)*\d+\s|P[Ff]\s+\d+\s+\d+\s|P7\s", "PNM"),
    (rb"version https://git-lfs\.github\.com/spec/", GIT_LFS_POINTER),
)
"""Regular expression that the first bytes of each format match."""

_DICOM_DIRECTORY = b"1.2.840.10008.1.3.10\x02\0\x03\0"
"""Class of a DICOMDIR, and the tag after it: a DICOM file that lists others and has no pixels."""

_BRANDS = (
    ("AVIF", {b"avif", b"avis"}),
    ("HEIC", {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}),
)
"""Brands in the first box of an ISO media file. Videos, such as MP4, have others."""


def sniff_format(head: bytes) -> str | None:
    """Name of a file's format, such as "JPEG", from its first `HEAD_BYTES` bytes.

    None if they are of no known format; TGA has no signature. APNG is "PNG", MPO is "JPEG", and
    PBM, PGM, PPM and PFM are "PNM". A Git LFS pointer is named (`GIT_LFS_POINTER`), although it is
    no image.
    """
    if head[4:8] == b"ftyp":
        return _sniff_brand(head)
    for pattern, name in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return None if name == "DICOM" and _DICOM_DIRECTORY in head else name
    return None


def read_head(path: Path) -> bytes:
    """First `HEAD_BYTES` bytes of a file. Raises `OSError` if it can't be read."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def is_image(path: Path) -> bool:
    """Whether a file is an image, or should be one.

    A file with the suffix of an image counts even if its content is damaged or something else, so
    that it is reported as unreadable and not passed over. Any other file counts by its content.
    Camera raw files do not count, and what can't be opened does not.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in _CAMERA_RAW_SUFFIXES or not path.is_file():
        return False
    try:
        return sniff_format(read_head(path)) not in (None, GIT_LFS_POINTER)
    except OSError:
        return False


def _sniff_brand(head: bytes) -> str | None:
    """Format of an ISO media file, by the brands in its first box."""
    end = int.from_bytes(head[:4], "big")
    brands = {head[start : start + 4] for start in (8, *range(16, min(end, len(head)), 4))}
    return next((name for name, known in _BRANDS if brands & known), None)
