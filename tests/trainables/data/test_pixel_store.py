import pickle
from pathlib import Path

import numpy as np
import torch

from trainables.data import CompressedImages, Dataset, OriginalImages, build_store
from trainables.images import PixelFormat, read_rgb

FORMAT = PixelFormat(24, "bicubic")
LARGER = PixelFormat(32, "bicubic")


def test_a_store_equals_the_decoded_images(dataset: Dataset, tmp_path: Path) -> None:
    store = build_store(dataset, FORMAT, cache=tmp_path)
    rows = np.array([5, 0, 17])
    pixels = store.read(rows)
    assert (pixels.shape, pixels.dtype) == ((3, 3, 24, 24), torch.uint8)
    for got, row in zip(pixels, rows, strict=True):
        expected = FORMAT.resize(read_rgb(dataset.file(row)))
        assert (got.permute(1, 2, 0).numpy() == expected).all()


def test_compressed_images_are_nearly_the_decoded_ones(
    large_dataset: Dataset, tmp_path: Path
) -> None:
    decoded = build_store(large_dataset, LARGER, cache=tmp_path / "decoded")
    compressed = build_store(large_dataset, LARGER, cache=tmp_path, budget_bytes=250_000)
    assert isinstance(compressed, CompressedImages)
    rows = np.array([5, 0, 5, len(large_dataset) - 1])
    pixels, exact = compressed.read(rows), decoded.read(rows)
    assert (pixels.shape, pixels.dtype, pixels.stride()) == (
        exact.shape,
        exact.dtype,
        exact.stride(),
    )
    difference = (pixels.int() - exact.int()).abs().float()
    assert difference.mean() < 1.5
    assert difference.max() < 25
    assert compressed.read(np.array([], int)).shape == (0, 3, 32, 32)


def test_processes_get_only_the_path_of_stored_images(
    large_dataset: Dataset, tmp_path: Path
) -> None:
    store = build_store(large_dataset, LARGER, cache=tmp_path, budget_bytes=250_000)
    sent = pickle.dumps(store)
    assert len(sent) < 1000
    rows = np.arange(7)
    assert torch.equal(pickle.loads(sent).read(rows), store.read(rows))


def test_original_images_are_exactly_the_decoded_ones(dataset: Dataset, tmp_path: Path) -> None:
    decoded, originals = (
        build_store(dataset, FORMAT, cache=tmp_path),
        OriginalImages(dataset, FORMAT),
    )
    rows = np.array([5, 0, 5, len(dataset) - 1])
    assert torch.equal(originals.read(rows), decoded.read(rows))
    assert originals.key == decoded.key
