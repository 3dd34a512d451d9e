import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.inputs import FeatureLoader, FeatureStore, Views
from trainables.models import Preprocessing, SplitModel, Weights, build_model, split_model

MIB = 2**20
CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path, 64 * MIB, "float32")


@pytest.fixture
def feed(train_set: ImageSet, params: TrialParams, untrained: Weights) -> Any:
    """Feature loader of a head-only trial of the digits."""
    torch.manual_seed(0)
    parts = split_model(build_model(params, untrained, 3), 0, 32)
    stated = Preprocessing.of(params.backbone)

    def make(store: FeatureStore | None) -> FeatureLoader:
        return FeatureLoader(train_set, parts, stated, device=CPU, store=store)

    return make


def vectors(
    inputs: FeatureLoader, batches: list[np.ndarray], views: Views, epoch: int
) -> torch.Tensor:
    return torch.cat([features for (features,) in inputs.batches(batches, views, epoch)])


BATCHES = np.array_split(np.random.default_rng(0).permutation(84), 6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8])
def test_kept_features_are_those_that_would_be_computed(
    feed: Any, store: FeatureStore, strength: float
) -> None:
    views = Views(strength, 2, 0)
    for epoch in range(4):
        computed = vectors(feed(None), BATCHES, views, epoch)
        torch.testing.assert_close(vectors(feed(store), BATCHES, views, epoch), computed)


def test_what_is_kept_is_not_computed_again(
    feed: Any, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = feed(store)
    expected = vectors(first, BATCHES, Views(0.3, 2, 0), 1)
    assert first.seconds > 0
    later = feed(store)
    again = vectors(later, BATCHES[::-1], Views(0.3, 2, 0), 3)
    assert torch.equal(again.sort(dim=0).values, expected.sort(dim=0).values)
    assert later.seconds == 0, "view 1 again"
    vectors(later, BATCHES, Views(0.3, 2, 1), 3)
    assert later.seconds > 0, "another seed's views"


def test_a_trial_of_nearby_strength_computes_only_the_difference(
    feed: Any, store: FeatureStore
) -> None:
    vectors(feed(store), BATCHES, Views(0.30, 2, 0), 0)
    blocks = list(store.folder.iterdir())
    known = sum(int(np.memmap(f, np.uint8, "r")[:84].sum()) for f in blocks)
    assert known == 84
    vectors(feed(store), BATCHES, Views(0.32, 2, 0), 0)
    added = sum(int(np.memmap(f, np.uint8, "r")[:84].sum()) for f in blocks) - known
    assert added < 12


def test_half_precision_takes_half_the_bytes_and_is_near(feed: Any, tmp_path: Path) -> None:
    sizes, values = [], []
    for dtype in ("float32", "float16"):
        store = FeatureStore(tmp_path / dtype, 64 * MIB, dtype)
        values.append(vectors(feed(store), BATCHES, Views(0.0, 2, 0), 0))
        sizes.append(sum(f.stat().st_size for f in store.folder.iterdir()))
    assert sizes[1] < 0.52 * sizes[0]
    torch.testing.assert_close(values[1], values[0], rtol=1e-3, atol=1e-4)


def test_rows_that_half_precision_cannot_hold_are_computed_each_time(
    tmp_path: Path, train_set: ImageSet, params: TrialParams, untrained: Weights
) -> None:
    model = build_model(params, untrained, 3)
    with torch.no_grad():
        model.bn2.weight.mul_(1e8)
    inputs = FeatureLoader(
        train_set,
        split_model(model, 0, 32),
        Preprocessing.of(params.backbone),
        device=torch.device("cpu"),
        store=FeatureStore(tmp_path, 64 * MIB),
    )
    for _ in range(2):
        made = vectors(inputs, BATCHES, Views(0.0, 2, 0), 0)
        assert made.isfinite().all()
        assert made.max() > 70_000


def test_the_least_recently_used_features_make_way(store: FeatureStore) -> None:
    width = 20 * MIB // 4 // 64
    for age, key in enumerate(("old", "older", "young")):
        assert store.open(key, 64, width) is not None
        os.utime(store.folder / f"{key}.float32", (1000 - age * (age < 2), 1000 - age * (age < 2)))
    os.utime(store.folder / "young.float32")
    assert store.open("new", 64, width) is not None
    assert {f.stem for f in store.folder.iterdir()} == {"old", "young", "new"}


def test_what_is_larger_than_the_budget_is_not_kept_and_evicts_nothing(
    feed: Any, store: FeatureStore
) -> None:
    assert store.open("small", 64, 64) is not None
    assert store.open("huge", 64, MIB) is None
    assert [f.stem for f in store.folder.iterdir()] == ["small"]
    tiny = FeatureStore(store.cache, 10, "float32")
    computed = vectors(feed(None), BATCHES, Views(0.3, 2, 0), 0)
    torch.testing.assert_close(vectors(feed(tiny), BATCHES, Views(0.3, 2, 0), 0), computed)


def test_a_trial_whose_views_exceed_the_budget_does_not_begin_to_keep_them(feed: Any) -> None:
    parts = feed(None).split
    assert FeatureStore(Path(), MIB).admits(parts, 84, 4, CPU)
    assert not FeatureStore(Path(), MIB).admits(parts, 84_000, 4, CPU)


def test_a_gpu_keeps_only_what_it_does_not_make_sooner_than_it_is_read(feed: Any) -> None:
    parts, card = feed(None).split, torch.device("cuda")
    large = replace(parts, shapes=((1024, 14, 14),))
    store = FeatureStore(Path(), 1024 * MIB)
    assert store.admits(parts, 84, 4, card)
    assert store.admits(large, 84, 4, CPU)
    assert not store.admits(large, 84, 4, card)


def test_a_reader_goes_on_when_its_block_is_evicted(store: FeatureStore) -> None:
    block = store.open("here", 64, 4)
    assert block is not None
    block.write(np.arange(3), torch.ones(3, 4))
    for file in store.folder.iterdir():
        file.unlink()
    assert block.values[:3].sum() == 12
    again = store.open("here", 64, 4)
    assert again is not None
    assert again.written.sum() == 0


def test_features_of_an_earlier_boot_are_not_believed(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.open("here", 64, 4) is not None
    before = store.folder
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr("trainables.inputs.feature_store._BOOT_ID_FILE", boot)
    assert store.folder != before
    block = store.open("here", 64, 4)
    assert block is not None
    assert block.written.sum() == 0


def _write_rows(store: FeatureStore, start: int) -> None:
    block = store.open("shared", 4096, 256)
    assert block is not None
    for row in range(start, 4096, 4):
        block.write(np.array([row]), torch.full((1, 256), float(row)))


def test_processes_fill_one_block_together_and_a_killed_one_leaves_only_whole_rows(
    store: FeatureStore,
) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_rows, args=(store, k)) for k in range(4)]
    for worker in workers:
        worker.start()
    block = store.open("shared", 4096, 256)
    assert block is not None
    while block.written[3::4].sum() < 50:
        assert all(worker.exitcode in (None, 0) for worker in workers)
    workers[3].kill()
    for worker in workers:
        worker.join()
    known = np.flatnonzero(block.written)
    assert len(known) >= 3 * 1024 + 50
    rows = block.values[torch.from_numpy(known)]
    assert (rows == torch.from_numpy(known).float()[:, None]).all()


def test_several_features_of_an_image_come_back_as_they_went(
    train_set: ImageSet, params: TrialParams
) -> None:
    given = (torch.rand(6, 2, 3, 4), torch.rand(6, 5), torch.rand(6, 4, 7), torch.rand(6, 3, 2, 2))
    shapes = tuple(tuple(feature.shape[1:]) for feature in given)
    parts = SplitModel(lambda images: given, lambda features: features[1], shapes)
    stated = Preprocessing.of(params.backbone)
    inputs = FeatureLoader(train_set, parts, stated, device=torch.device("cpu"))
    for went, came in zip(given, inputs._unflatten(inputs._flatten(given)), strict=True):
        assert torch.equal(went, came)
