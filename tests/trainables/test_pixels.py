import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from spaces import DataError
from trainables.dataset import Dataset
from trainables.images import read_rgb, resize_square
from trainables.pixels import ImageSet, PixelFormat, build_store
from trainables.survey import survey

FORM = PixelFormat(24, "bicubic")


def test_a_store_holds_what_decoding_each_image_gives(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORM, cache=tmp_path)
    rows = np.array([5, 0, 17])
    pixels = store.read(rows)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 24, 24), torch.uint8)
    for got, row in zip(pixels, rows, strict=True):
        expected = resize_square(read_rgb(dataset.file(row)), 24, "bicubic")
        assert (got.permute(1, 2, 0).numpy() == expected).all()


def test_a_store_is_found_again_and_not_made_twice(dataset: Dataset, tmp_path: Path) -> None:
    first = build_store(dataset, FORM, cache=tmp_path)
    made = first.file.stat().st_mtime_ns
    assert build_store(dataset, FORM, cache=tmp_path) == first
    assert first.file.stat().st_mtime_ns == made
    other = build_store(dataset, PixelFormat(24, "bilinear"), cache=tmp_path)
    assert other.file != first.file


def test_a_broken_off_store_leaves_no_file_that_looks_whole(digits: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(digits, tmp_path / "digits"))
    found = survey(copy, cache=tmp_path).dataset
    found.file(60).write_bytes(b"spoiled since")
    with pytest.raises(DataError, match="has changed since the data were read"):
        build_store(found, FORM, cache=tmp_path)
    assert list((tmp_path / "pixels").iterdir()) == []


def test_an_image_set_is_the_rows_of_its_splits(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORM, cache=tmp_path)
    both = ImageSet.of(dataset, store, "train", "val")
    assert len(both) == len(dataset.rows("train")) + len(dataset.rows("val"))
    chosen = np.array([3, 50])
    assert (both.images(chosen) == store.read(both.rows[chosen])).all()
    assert (both.labels == dataset.labels[both.rows]).all()
