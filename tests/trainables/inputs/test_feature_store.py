import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace

from trainables.inputs import FeatureStore
from trainables.models import SplitModel

MIB = 2**20
CPU = torch.device("cpu")
SMALL = SplitModel(
    lambda images: (images,), lambda features: features[0], ((256,),), symbolic_trace(nn.Identity())
)
"""A split model with 256 features an image."""


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path, 64 * MIB, "float32")


def test_the_least_recently_used_blocks_are_removed_first(store: FeatureStore) -> None:
    width = 20 * MIB // 4 // 64
    for age, key in enumerate(("old", "older", "young")):
        assert store.open(key, 64, width) is not None
        os.utime(store.folder / f"{key}.float32", (1000 - age * (age < 2), 1000 - age * (age < 2)))
    os.utime(store.folder / "young.float32")
    assert store.open("new", 64, width) is not None
    assert {f.stem for f in store.folder.iterdir()} == {"old", "young", "new"}


def test_features_are_stored_only_if_all_views_fit_the_budget() -> None:
    assert FeatureStore(Path(), MIB).admits(SMALL, 84, 4, CPU)
    assert not FeatureStore(Path(), MIB).admits(SMALL, 84_000, 4, CPU)


def test_a_gpu_stores_only_what_it_reads_faster_than_it_computes() -> None:
    gpu = torch.device("cuda")
    large = replace(SMALL, feature_shapes=((1024, 14, 14),))
    store = FeatureStore(Path(), 1024 * MIB)
    assert store.admits(SMALL, 84, 4, gpu)
    assert store.admits(large, 84, 4, CPU)
    assert not store.admits(large, 84, 4, gpu)


def test_a_reader_continues_when_its_block_is_removed(store: FeatureStore) -> None:
    block = store.open("here", 64, 4)
    assert block is not None
    block.write(np.arange(3), torch.ones(3, 4))
    for file in store.folder.iterdir():
        file.unlink()
    assert block.values[:3].sum() == 12
    again = store.open("here", 64, 4)
    assert again is not None
    assert again.written.sum() == 0


def test_features_from_before_a_restart_are_not_used(
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


def test_processes_fill_a_block_together_and_a_killed_process_leaves_no_partial_rows(
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
