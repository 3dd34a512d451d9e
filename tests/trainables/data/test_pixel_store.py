import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from spaces import DataError, Fit
from trainables.data import (
    Dataset,
    OriginalImages,
    StagedPixels,
    build_store,
    decoded_files,
    survey_images,
)
from trainables.images import PixelFormat, read_rgb

FORMAT = PixelFormat(24, "bicubic")


def test_a_store_equals_the_decoded_images(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORMAT, cache=tmp_path)
    rows = np.array([5, 0, 17])
    pixels = store.read(rows)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 24, 24), torch.uint8)
    for got, row in zip(pixels, rows, strict=True):
        expected = FORMAT.resize(read_rgb(dataset.file(row)))
        assert (got.permute(1, 2, 0).numpy() == expected).all()


def test_an_existing_store_is_reused(dataset: Dataset, tmp_path: Path) -> None:
    first = build_store(dataset, FORMAT, cache=tmp_path)
    made = first.file.stat().st_ino
    assert build_store(dataset, FORMAT, cache=tmp_path) == first
    assert first.file.stat().st_ino == made
    other = build_store(dataset, PixelFormat(24, "bilinear"), cache=tmp_path)
    assert other.file != first.file


def test_each_fit_has_a_store_of_its_own_and_a_squash_that_of_earlier_versions(
    dataset: Dataset, tmp_path: Path
) -> None:
    mean = (0.5, 0.5, 0.5)
    formats = [PixelFormat.of(24, "bicubic", fit, mean) for fit in get_args(Fit)]
    files = {build_store(dataset, each, cache=tmp_path).file for each in formats}
    assert len(files) == 3
    assert PixelFormat(24, "bicubic").key == "PixelFormat(side=24, interpolation='bicubic')"


def test_a_store_that_fails_to_build_leaves_no_finished_file(digits: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(digits, tmp_path / "digits"))
    surveyed = survey_images(copy, cache=tmp_path).dataset
    surveyed.file(60).write_bytes(b"spoiled since")
    with pytest.raises(DataError, match="has changed since the data were read"):
        build_store(surveyed, FORMAT, cache=tmp_path)
    assert [f.suffix for f in (tmp_path / "pixels").iterdir()] == [".lock"]


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


def test_partial_files_of_a_killed_process_are_removed(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORMAT, cache=tmp_path)
    half = store.file.with_name(f"{store.file.name}.1.partial")
    store.file.rename(half)
    assert build_store(dataset, FORMAT, cache=tmp_path).file.exists()
    assert not half.exists()


def test_only_one_of_two_concurrent_builders_decodes_the_images(
    dataset: Dataset, tmp_path: Path
) -> None:
    decoded = []
    with ThreadPoolExecutor(2) as pool:
        made = [
            pool.submit(
                build_store,
                dataset,
                FORMAT,
                cache=tmp_path,
                progress=lambda step, done, total: decoded.append(done),
            )
            for _ in range(2)
        ]
    assert made[0].result() == made[1].result()
    assert len(decoded) == len(dataset)


def test_older_stores_are_evicted_and_one_that_can_not_fit_is_decoded_at_every_reading(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = build_store(dataset, FORMAT, cache=tmp_path, budget_bytes=400_000)
    other = PixelFormat(24, "bilinear")
    kept = decoded_files([one])
    homeless = build_store(dataset, other, cache=tmp_path, budget_bytes=400_000, keep=kept)
    assert isinstance(homeless, OriginalImages)
    assert "there is no room: they are decoded anew in every epoch" in caplog.text
    assert one.file.exists()
    decoded = build_store(dataset, other, cache=tmp_path, budget_bytes=400_000)
    assert not one.file.exists()
    rows = np.array([5, 0, 5, len(dataset) - 1])
    assert torch.equal(homeless.read(rows), decoded.read(rows))
    assert homeless.key == decoded.key
    large = PixelFormat(64, "bilinear")
    build_store(dataset, large, cache=tmp_path, budget_bytes=400_000)
    assert decoded_files([decoded])[0].exists(), "nothing is evicted in vain"


def test_images_beyond_the_budget_are_not_staged(dataset: Dataset, tmp_path: Path) -> None:
    size = len(dataset) * FORMAT.bytes_per_image
    for budget, formats in ((size, (FORMAT,)), (size - 1, ())):
        staged = StagedPixels(tmp_path, [FORMAT], budget_bytes=budget)
        staged.allocate(len(dataset))
        assert staged.formats == formats
