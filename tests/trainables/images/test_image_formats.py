"""What a file is: by its first bytes, and by its suffix where these can't say."""

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.support.images import save_image
from trainables.images.image_formats import (
    GIT_LFS_POINTER,
    HEAD_BYTES,
    is_image,
    read_head,
    sniff_format,
)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


def saved(file_format: str, **options: object) -> bytes:
    """Bytes of a small image in one of Pillow's formats."""
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(file, file_format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("pillow_name", "name"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("GIF", "GIF"),
        ("WEBP", "WebP"),
        ("TIFF", "TIFF"),
        ("BMP", "BMP"),
        ("JPEG2000", "JPEG 2000"),
        ("AVIF", "AVIF"),
        ("PPM", "PNM"),
        ("TGA", None),
    ],
)
def test_formats_are_known_by_their_first_bytes(pillow_name: str, name: str | None) -> None:
    assert sniff_format(saved(pillow_name)[:HEAD_BYTES]) == name


def test_animations_and_pairs_are_named_as_the_format_that_they_extend() -> None:
    second = [Image.new("RGB", (20, 20), "blue")]
    animated = saved("PNG", save_all=True, append_images=second)
    pair = saved("MPO", save_all=True, append_images=second)
    assert [sniff_format(animated), sniff_format(pair)] == ["PNG", "JPEG"]


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\x02\0isommp42", None),
        (bytes(128) + b"DICM\x02\0\0\0UL\x04\0", "DICOM"),
        (b"II*\0" + bytes(124) + b"DICM\x02\0\0\0UL\x04\0", "DICOM"),
        (b"\x08\0\x05\0CS\x0a\0ISO_IR 100", "DICOM"),
        (bytes(128) + b"DICM\x02\0\x02\0UI\x14\x001.2.840.10008.1.3.10\x02\0\x03\0UI", None),
        (b"P5\n# made by hand\n20 20\n255\n", "PNM"),
        (b"P1 is the first patient\n", None),
        (b"BMW,12\nVW,13\nand so on, for a longer text", None),
        (POINTER, GIT_LFS_POINTER),
        (b"", None),
    ],
)
def test_containers_and_texts_are_told_apart(head: bytes, name: str | None) -> None:
    assert sniff_format(head) == name


def test_an_image_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    image = save_image(tmp_path / "a.png").rename(tmp_path / "a")
    other = save_image(tmp_path / "b.png").rename(tmp_path / "b.dat")
    assert is_image(image) and is_image(other)
    assert len(read_head(image)) <= HEAD_BYTES


def test_a_file_that_should_be_an_image_counts_so_that_it_is_reported(tmp_path: Path) -> None:
    for name, content in {"empty.jpg": b"", "pointer.PNG": POINTER, "page.gif": b"<html>"}.items():
        (tmp_path / name).write_bytes(content)
        assert is_image(tmp_path / name)


def test_other_files_are_no_images(tmp_path: Path) -> None:
    for name, content in {"a.txt": b"P1 notes", "b.csv": POINTER, "c.nef": saved("TIFF")}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_image(tmp_path / name)
    assert not is_image(tmp_path) and not is_image(tmp_path / "missing")
