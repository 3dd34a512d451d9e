import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.data import (
    CompressedImages,
    StagedPixels,
    build_store,
    pixel_store,
    scan,
    staged_pixels,
    survey_images,
)
from trainables.data.jpeg_file import decode_jpeg
from trainables.images import PixelFormat, read_image_file

FORMAT = PixelFormat(24, "bicubic")
LARGER = PixelFormat(32, "bicubic")
GREY = Image.new("RGB", (40, 40), "grey")


def test_images_staged_by_the_survey_are_not_decoded_again(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(digits, tmp_path / "digits"))
    (copy / "one" / "broken.png").write_bytes(b"no image")
    alone = survey_images(copy, cache=tmp_path / "alone").dataset
    expected = build_store(alone, FORMAT, cache=tmp_path / "alone")
    monkeypatch.setattr("trainables.data.pixel_store.read_surveyed_image", None)
    staged = StagedPixels(tmp_path, [FORMAT])
    surveyed = survey_images(copy, cache=tmp_path, staged=staged).dataset
    store = build_store(surveyed, FORMAT, cache=tmp_path, staged=staged)
    rows = np.arange(len(surveyed))
    assert torch.equal(store.read(rows), expected.read(rows))
    assert {f.suffix for f in (tmp_path / "pixels").iterdir()} == {".npy", ".lock"}


def test_a_first_sweep_opens_each_image_once_also_where_it_compresses_them(
    large_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[Path] = Counter()

    def read(path: Path) -> bytes:
        opened[path] += 1
        return read_image_file(path)

    for module in (scan, pixel_store):
        monkeypatch.setattr(module, "read_image_file", read)
    small_bytes = 120 * FORMAT.bytes_per_image
    budget = {"cache": tmp_path, "budget_bytes": small_bytes + 250_000}
    staged = StagedPixels(formats=[FORMAT, LARGER], **budget)
    surveyed = survey_images(large_digits, cache=tmp_path, staged=staged).dataset
    assert staged.formats == (FORMAT, LARGER)
    decoded = build_store(surveyed, FORMAT, staged=staged, **budget)
    compressed = build_store(surveyed, LARGER, staged=staged, keep=[decoded.file], **budget)
    assert isinstance(compressed, CompressedImages)
    assert set(opened.values()) == {1}
    assert len(opened) == len(surveyed) == 120
    again = build_store(surveyed, LARGER, cache=tmp_path / "alone", budget_bytes=250_000)
    assert again.key == compressed.key
    rows = np.arange(len(surveyed))
    assert torch.equal(compressed.read(rows), again.read(rows)), "staged or not"


def test_images_whose_store_has_no_room_decoded_are_staged_as_jpegs(tmp_path: Path) -> None:
    size = 10 * FORMAT.bytes_per_image
    for budget, is_decoded in ((size, True), (size - 1, False)):
        staged = StagedPixels(tmp_path, [FORMAT], budget_bytes=budget)
        staged.allocate(10)
        staged.add(3, "grey", FORMAT, GREY)
        assert staged.formats == (FORMAT,)
        assert (staged.get(FORMAT, "grey") is not None) == is_decoded
        jpeg = staged.get_jpeg(FORMAT, "grey")
        assert jpeg is not None
        assert (decode_jpeg(jpeg) == 128).all()
        assert staged.get_jpeg(FORMAT, "another") is None
        assert staged.get_jpeg(LARGER, "grey") is None


def test_nothing_is_staged_before_images_are_to_be_opened(tmp_path: Path) -> None:
    staged = StagedPixels(tmp_path, [FORMAT], budget_bytes=1)
    staged.allocate(0)
    assert staged.formats == ()


def test_staged_jpegs_are_dropped_if_they_have_no_room(tmp_path: Path) -> None:
    staged = StagedPixels(tmp_path, [FORMAT], budget_bytes=1500)
    staged.allocate(10)
    staged.add(0, "first", FORMAT, GREY)
    assert staged.get_jpeg(FORMAT, "first")
    for row in (1, 2):
        staged.add(row, str(row), FORMAT, GREY)
    assert staged.formats == ()
    assert staged.get_jpeg(FORMAT, "first") is None


def test_a_disk_that_becomes_full_spoils_no_image(
    large_digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(large_digits, tmp_path / "digits"))
    monkeypatch.setattr(staged_pixels.os, "pwrite", lambda file, content, offset: len(content) // 2)
    staged = StagedPixels(tmp_path, [LARGER], budget_bytes=250_000)
    surveyed = survey_images(copy, cache=tmp_path, staged=staged)
    assert staged.formats == ()
    assert len(surveyed.dataset) == 120
    assert surveyed.issues == ()


def test_staged_files_vanish_with_the_object(tmp_path: Path) -> None:
    staged = StagedPixels(tmp_path, [FORMAT], budget_bytes=1)
    staged.allocate(10)
    assert list(tmp_path.iterdir()) == []
    assert staged._jpegs is not None
    descriptor = staged._jpegs._file
    assert os.fstat(descriptor).st_nlink == 0
    del staged
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
