import errno
import multiprocessing
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from spaces import DataError, Fit
from trainables.data import (
    CompressedImages,
    Dataset,
    DecodedImages,
    ExpectedStore,
    OriginalImages,
    PixelStore,
    build_store,
    expected_stores,
    store_choice,
    stored_files,
    survey_images,
)
from trainables.images import PixelFormat

FORMAT = PixelFormat(24, "bicubic")
LARGER = PixelFormat(32, "bicubic")
TIGHT_BYTES = 250_000
"""Room for the enlarged digits as JPEGs of 32x32 pixels, and not for the decoded ones."""


def compress(dataset: Dataset, cache: Path) -> CompressedImages:
    """The store of the enlarged digits where the decoded ones have no room."""
    store = build_store(dataset, LARGER, cache=cache, budget_bytes=TIGHT_BYTES)
    assert isinstance(store, CompressedImages)
    return store


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
    kept = stored_files([one])
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
    assert stored_files([decoded])[0].exists(), "nothing is evicted in vain"


def test_images_are_compressed_only_where_the_decoded_ones_have_no_room(
    large_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="finesweep")
    compressed = compress(large_dataset, tmp_path)
    assert "images of 32x32 pixels: compressed as JPEGs, 0.1 MiB in" in caplog.text
    assert "the decoded ones take 0.4 MiB and have no room" in caplog.text
    assert compress(large_dataset, tmp_path) == compressed
    caplog.clear()
    decoded = build_store(large_dataset, LARGER, cache=tmp_path)
    assert isinstance(decoded, DecodedImages)
    assert "images of 32x32 pixels: decoded, 0.4 MiB" in caplog.text
    assert compressed.key != decoded.key
    assert (compressed.is_exact, decoded.is_exact) == (False, True)


def test_originals_that_are_no_larger_than_the_jpegs_stay(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The digits are files of a few hundred bytes."""
    store = build_store(dataset, LARGER, cache=tmp_path, budget_bytes=TIGHT_BYTES)
    assert isinstance(store, OriginalImages)
    assert "there is no room: they are decoded anew in every epoch" in caplog.text
    assert stored_files([store]) == []


def test_exact_pixels_are_never_compressed(large_dataset: Dataset, tmp_path: Path) -> None:
    compress(large_dataset, tmp_path)
    exact = build_store(large_dataset, LARGER, cache=tmp_path, budget_bytes=TIGHT_BYTES, exact=True)
    assert isinstance(exact, OriginalImages)
    assert exact.is_exact


def originals_of(dataset: Dataset, cache: Path) -> PixelStore:
    """The store of a compression that fails, which leaves no file."""
    store = build_store(dataset, LARGER, cache=cache, budget_bytes=TIGHT_BYTES)
    assert [f.suffix for f in (cache / "pixels").iterdir()] == [".lock"]
    return store


def test_jpegs_that_are_larger_than_estimated_are_given_up(
    large_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(store_choice, "_SIZE_MARGIN", 0.9)
    assert isinstance(originals_of(large_dataset, tmp_path), OriginalImages)
    assert "there is no room: they are decoded anew in every epoch" in caplog.text


def test_a_disk_that_becomes_full_during_the_compression_leaves_the_originals(
    large_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(file: Path, jpegs: object, *, limit_bytes: int) -> None:
        file.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_choice, "write_jpegs", write)
    assert isinstance(originals_of(large_dataset, tmp_path), OriginalImages)


def test_a_failing_disk_is_no_full_disk(
    large_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(file: Path, jpegs: object, *, limit_bytes: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store_choice, "write_jpegs", write)
    with pytest.raises(OSError, match="Input/output error"):
        compress(large_dataset, tmp_path)


def die_after_50_images(step: str, done: int, total: int) -> None:
    """Progress callback that ends the process as a kill does."""
    if done == 50:
        os._exit(9)


def test_a_killed_compression_leaves_no_file_that_is_used(
    large_dataset: Dataset, tmp_path: Path
) -> None:
    killed = multiprocessing.get_context("spawn").Process(
        target=partial(
            build_store,
            large_dataset,
            LARGER,
            cache=tmp_path,
            budget_bytes=TIGHT_BYTES,
            progress=die_after_50_images,
        )
    )
    killed.start()
    killed.join()
    assert killed.exitcode == 9
    assert sorted(f.suffix for f in (tmp_path / "pixels").iterdir()) == [".lock", ".partial"]
    store = compress(large_dataset, tmp_path)
    assert sorted(f.suffix for f in (tmp_path / "pixels").iterdir()) == [".jpegs", ".lock"]
    rows = np.arange(len(large_dataset))
    exact = OriginalImages(large_dataset, LARGER).read(rows)
    assert (store.read(rows).int() - exact.int()).abs().float().mean() < 1.5


def test_only_one_of_two_concurrent_processes_compresses_the_images(
    large_dataset: Dataset, tmp_path: Path
) -> None:
    compressed: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        made = [
            pool.submit(
                build_store,
                large_dataset,
                LARGER,
                cache=tmp_path,
                budget_bytes=TIGHT_BYTES,
                progress=lambda step, done, total: compressed.append(done),
            )
            for _ in range(2)
        ]
    assert made[0].result() == made[1].result() == compress(large_dataset, tmp_path)
    assert compressed.count(len(large_dataset)) == 1


def test_compressed_images_are_evicted_unless_they_are_kept(
    large_dataset: Dataset, dataset: Dataset, tmp_path: Path
) -> None:
    compressed = compress(large_dataset, tmp_path)
    kept = stored_files([compressed])
    build_store(dataset, FORMAT, cache=tmp_path, budget_bytes=TIGHT_BYTES, keep=kept)
    assert compressed.file.exists()
    build_store(dataset, FORMAT, cache=tmp_path, budget_bytes=TIGHT_BYTES)
    assert not compressed.file.exists()


def test_a_plan_expects_the_forms_that_are_built(
    large_dataset: Dataset, dataset: Dataset, tmp_path: Path
) -> None:
    def expected(images: Dataset, budget_bytes: int) -> tuple[ExpectedStore, ...]:
        return expected_stores(images, [FORMAT, LARGER], budget_bytes=budget_bytes)

    small = len(dataset) * FORMAT.bytes_per_image
    first, second = expected(large_dataset, small + TIGHT_BYTES)
    assert first == ExpectedStore(24, "decoded", small)
    assert (second.image_size, second.form) == (32, "compressed")
    size = compress(large_dataset, tmp_path).file.stat().st_size
    assert size < second.size_bytes < 1.2 * size
    assert expected(dataset, small)[1] == ExpectedStore(32, "originals", 0)
    assert [each.form for each in expected(dataset, 10**9)] == ["decoded", "decoded"]
