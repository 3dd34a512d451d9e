from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.inputs import FeatureLoader, FeatureStore, TransformKinds, Views
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
    split = split_model(build_model(params, untrained, 3), 0, 32)
    preprocessing = Preprocessing.of(params.backbone)

    def make(store: FeatureStore | None) -> FeatureLoader:
        return FeatureLoader(train_set, split, preprocessing, device=CPU, store=store)

    return make


def vectors(
    inputs: FeatureLoader, batches: list[np.ndarray], views: Views, epoch: int
) -> torch.Tensor:
    return torch.cat([features for (features,) in inputs.batches(batches, views, epoch)])


BATCHES = np.array_split(np.random.default_rng(0).permutation(84), 6)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.8])
def test_stored_features_equal_computed_ones(
    feed: Any, store: FeatureStore, strength: float
) -> None:
    views = Views(strength, 2, 0)
    for epoch in range(4):
        computed = vectors(feed(None), BATCHES, views, epoch)
        torch.testing.assert_close(vectors(feed(store), BATCHES, views, epoch), computed)


def test_stored_features_are_not_computed_again(
    feed: Any, store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = feed(store)
    expected = vectors(first, BATCHES, Views(0.3, 2, 0), 1)
    assert first.seconds > 0
    measured = first.seconds_per_image()
    later = feed(store)
    again = vectors(later, BATCHES[::-1], Views(0.3, 2, 0), 3)
    assert torch.equal(again.sort(dim=0).values, expected.sort(dim=0).values)
    assert later.seconds == 0, "view 1 again"
    assert later.seconds_per_image() == measured > 0
    assert feed(None).seconds_per_image() == 0, "nothing is known yet"
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


@pytest.mark.parametrize("strength", [0.0, 0.5])
def test_features_of_trials_of_other_kinds_are_computed_anew_except_without_augmentation(
    feed: Any, store: FeatureStore, strength: float
) -> None:
    first = vectors(feed(store), BATCHES, Views(strength, 2, 0), 0)
    other, views = feed(store), Views(strength, 2, 0, TransformKinds(colour=False))
    again = vectors(other, BATCHES, views, 0)
    assert (other.seconds > 0) == (strength > 0)
    assert torch.equal(again, first) == (strength == 0)
    torch.testing.assert_close(again, vectors(feed(None), BATCHES, views, 0))


def test_half_precision_features_need_half_the_bytes_and_differ_little(
    feed: Any, tmp_path: Path
) -> None:
    sizes, values = [], []
    for dtype in ("float32", "float16"):
        store = FeatureStore(tmp_path / dtype, 64 * MIB, dtype)
        values.append(vectors(feed(store), BATCHES, Views(0.0, 2, 0), 0))
        sizes.append(sum(f.stat().st_size for f in store.folder.iterdir()))
    assert sizes[1] < 0.52 * sizes[0]
    torch.testing.assert_close(values[1], values[0], rtol=1e-3, atol=1e-4)


def test_features_that_overflow_half_precision_are_computed_every_time(
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


def test_features_over_the_budget_are_not_stored_and_evict_nothing(
    feed: Any, store: FeatureStore
) -> None:
    assert store.open("small", 64, 64) is not None
    assert store.open("huge", 64, MIB) is None
    assert [f.stem for f in store.folder.iterdir()] == ["small"]
    tiny = FeatureStore(store.cache, 10, "float32")
    computed = vectors(feed(None), BATCHES, Views(0.3, 2, 0), 0)
    torch.testing.assert_close(vectors(feed(tiny), BATCHES, Views(0.3, 2, 0), 0), computed)


def test_several_features_of_an_image_are_restored_from_their_flat_row(
    train_set: ImageSet, params: TrialParams
) -> None:
    given = (torch.rand(6, 2, 3, 4), torch.rand(6, 5), torch.rand(6, 4, 7), torch.rand(6, 3, 2, 2))
    shapes = tuple(tuple(feature.shape[1:]) for feature in given)
    split = SplitModel(lambda images: given, lambda features: features[1], shapes)
    preprocessing = Preprocessing.of(params.backbone)
    inputs = FeatureLoader(train_set, split, preprocessing, device=torch.device("cpu"))
    for went, came in zip(given, inputs._unflatten(inputs._flatten(given)), strict=True):
        assert torch.equal(went, came)
