from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spaces import TrialParams
from tests.support.models import untrained_model
from trainables.data import ImageSet
from trainables.models import Weights
from trainables.training import ComputeSettings
from trainables.training import head_start as head_start_module
from trainables.training.head_start import HeadStart, head_of, set_head

BACKBONE = "test_efficientnet"


@pytest.fixture
def start(train_set: ImageSet, tmp_path: Path) -> Any:
    """Head start of a fine-tune of the digits, some parameters changed."""
    file = tmp_path / "weights.safetensors"
    save_file(untrained_model(BACKBONE).state_dict(), file)

    def make(*, weights: Path | None = file, cache: Path | None = None, **fields: Any) -> Any:
        params = TrialParams.parse({"backbone": BACKBONE, "image_size": 32, **fields})
        compute = ComputeSettings(cache=cache)
        return HeadStart.of(params, Weights(BACKBONE, "", weights), 3, train_set, compute)

    return make


def test_only_a_linear_trained_head_on_pretrained_weights_has_a_head_start(start: Any) -> None:
    assert start().params == TrialParams.parse(
        {"backbone": BACKBONE, "image_size": 32, "head": "solved", "unfreeze": 0, "augment": 0}
    )
    assert start(weights=None) is None
    assert start(head_hidden=8) is None
    assert start(head_start="zero") is None
    assert start(head="solved", unfreeze=0, augment=0) is None


def test_trials_of_a_backbone_share_a_kept_head(start: Any, tmp_path: Path) -> None:
    model = untrained_model(BACKBONE, num_classes=3)
    with torch.no_grad():
        model.classifier.weight.normal_()
    one = start(cache=tmp_path, unfreeze=0.5, dropout=0.4)
    assert one.read() is None
    one.keep(head_of(model))
    fresh = untrained_model(BACKBONE, num_classes=3)
    set_head(fresh, start(cache=tmp_path, unfreeze=0.0, learning_rate=0.1).read())
    assert torch.equal(fresh.classifier.weight, model.classifier.weight)
    for other in ({"image_size": 64}, {"balance": "weighted"}, {"fit": "crop"}):
        assert start(cache=tmp_path, **other).read() is None
    assert start().read() is None, "without a cache folder, nothing is kept"


def test_other_images_labels_or_weights_have_another_head(start: Any, tmp_path: Path) -> None:
    one = start(cache=tmp_path)
    one.keep(head_of(untrained_model(BACKBONE, num_classes=3)))
    images = one.images
    fewer = images.subset(np.arange(10))
    relabelled = replace(images, labels=images.labels[::-1].copy())
    assert replace(one, images=fewer).read() is None
    assert replace(one, images=relabelled).read() is None
    pairs = [str(row // 2) for row in range(images.rows.max() + 1)]
    in_pairs = replace(images, units_of_rows=pairs)
    assert replace(one, images=in_pairs).read() is None, "their penalty is chosen by other folds"
    other = tmp_path / "other.safetensors"
    state = untrained_model(BACKBONE).state_dict()
    save_file({**state, "bn1.bias": state["bn1.bias"] + 1}, other)
    assert start(cache=tmp_path, weights=other).read() is None


def test_the_probe_sees_a_part_of_many_images_with_every_class(
    start: Any, train_set: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_start_module, "_MAX_IMAGES", 12)
    labels = start().images.labels
    assert len(labels) == pytest.approx(12, abs=3)
    assert set(labels) == set(train_set.labels)
