import copy
import io
import math
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
from trainables.inputs import FeatureStore
from trainables.models import Weights
from trainables.training import (
    ComputeSettings,
    FineTuneSettings,
    FineTuning,
    RoundReport,
    finetune,
)
from trainables.training.head_start import head_of


@pytest.fixture
def begin(train_set: ImageSet, val_set: ImageSet, params: TrialParams, untrained: Weights) -> Any:
    """Begin a fine-tune of the digits, some fields changed."""

    def make(*, max_epochs: int = 3, **options: Any) -> FineTuning:
        val, weights = options.pop("val", val_set), options.pop("weights", untrained)
        keys = ("patience", "metric", "seed", "stop_after", "views", "plateau_losses")
        keys += ("rounds_per_epoch",)
        settings = {key: options.pop(key) for key in keys if key in options}
        compute = {key: options.pop(key) for key in ("store", "cache") if key in options}
        return FineTuning(
            TrialParams.parse({**params.model_dump(), **options}),
            weights,
            num_classes=3,
            train=train_set,
            val=val,
            settings=FineTuneSettings(max_epochs=max_epochs, **settings),
            compute=ComputeSettings(**compute),
        )

    return make


def numbers(report: RoundReport) -> RoundReport:
    """Report without times and memory."""
    timed = {"seconds": 0, "prefix_seconds": 0, "evaluate_seconds": 0}
    timed |= {"prefix_seconds_per_image": 0}
    return replace(report, images_per_second=0, peak_memory_mib=0, **timed)


def test_a_fine_tune_learns_to_classify_digits(begin: Any) -> None:
    reports = list(finetune(begin(max_epochs=12)))
    assert reports[-1].train_loss < 0.5 * reports[0].train_loss
    assert max(r.val_accuracy for r in reports) > 0.7
    assert [r.epoch for r in reports] == list(range(1, 13))
    assert [r.is_last for r in reports] == [False] * 11 + [True]


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(begin: Any) -> None:
    first = [numbers(r) for r in finetune(begin(dropout=0.3))]
    assert first == [numbers(r) for r in finetune(begin(dropout=0.3))]
    assert first != [numbers(r) for r in finetune(begin(dropout=0.3, seed=1))]


@pytest.mark.parametrize("fields", [{"flips": "none"}, {"max_rotation": 90.0}, {"colour": False}])
def test_the_kinds_of_transforms_matter_only_where_images_are_augmented(
    begin: Any, fields: dict[str, Any]
) -> None:
    def train_loss(**options: Any) -> float:
        return next(finetune(begin(**options))).train_loss  # type: ignore[no-any-return]

    assert train_loss(augment=0.5, **fields) != train_loss(augment=0.5)
    assert train_loss(augment=0.0, **fields) == train_loss(augment=0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"schedule": "plateau", "optimizer": "sgd"},
        {"gradual_unfreezing": True},
        {"rounds_per_epoch": 3, "max_epochs": 2},
    ],
)
def test_a_fine_tune_continued_from_a_checkpoint_gives_the_same_numbers(
    begin: Any, fields: dict[str, Any]
) -> None:
    fields = {"max_epochs": 4, "dropout": 0.3, **fields}
    whole = [numbers(r) for r in finetune(begin(**fields))]
    broken = begin(**fields)
    steps = finetune(broken)
    assert [numbers(next(steps)) for _ in range(2)] == whole[:2]
    buffer = io.BytesIO()
    torch.save(broken.state_dict(), buffer)
    buffer.seek(0)
    again = begin(**fields)
    again.load_state_dict(torch.load(buffer, weights_only=True))
    assert [numbers(r) for r in finetune(again)] == whole[2:]


def test_the_rounds_of_an_epoch_train_on_all_of_its_images_once(begin: Any) -> None:
    fields = {"dropout": 0.0, "augment": 0.0, "batch_size": 7, "max_epochs": 2}
    fields["warmup_epochs"] = 0.0  # it would be shorter with rounds
    whole, parts = begin(**fields), begin(rounds_per_epoch=3, **fields)
    epochs, rounds = list(finetune(whole)), list(finetune(parts))
    assert [(r.round, round(r.epoch, 3)) for r in rounds] == [
        (1, 0.333),
        (2, 0.667),
        (3, 1.0),
        (4, 1.333),
        (5, 1.667),
        (6, 2.0),
    ]
    assert [r.is_last for r in rounds] == [False] * 5 + [True]
    for done, report in enumerate(epochs, start=1):
        last = rounds[3 * done - 1]
        assert last.val_loss == pytest.approx(report.val_loss, rel=1e-3)
        assert last.learning_rate == pytest.approx(report.learning_rate)


def test_patience_counts_epochs_also_where_they_have_rounds(begin: Any) -> None:
    fields = {"max_epochs": 9, "learning_rate": 1e-9, "backbone_lr_scale": 1e-3, "patience": 2}
    reports = list(finetune(begin(rounds_per_epoch=3, **fields)))
    best = max(range(len(reports)), key=lambda k: reports[k].val_accuracy)
    assert len(reports) == best + 1 + 2 * 3


def test_a_state_of_an_earlier_version_counts_epochs(begin: Any) -> None:
    first = begin()
    reports = finetune(first)
    next(reports)
    state = first.state_dict()
    state["epoch"] = state.pop("round")
    again = begin()
    again.load_state_dict(state)
    assert next(finetune(again)).round == 2


@pytest.mark.parametrize("unfreeze", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("fields", [{"augment": 0.3, "dropout": 0.3}, {"gradual_unfreezing": True}])
def test_stored_features_change_no_loss(
    begin: Any, tmp_path: Path, unfreeze: float, fields: dict[str, Any]
) -> None:
    store = FeatureStore(tmp_path, 2**26, "float32")
    plain = list(finetune(begin(unfreeze=unfreeze, max_epochs=4, views=2, **fields)))
    for _ in ("written", "read"):
        kept = finetune(begin(unfreeze=unfreeze, max_epochs=4, views=2, store=store, **fields))
        for ours, theirs in zip(kept, plain, strict=True):
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4)
            assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)
    assert store.folder.exists() == (unfreeze < 1)


def test_an_epoch_reports_the_duration_of_its_stages(begin: Any, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2**26)
    first, second, third = finetune(begin(unfreeze=0.0, views=1, store=store))
    for report in (first, second, third):
        assert 0 <= report.prefix_seconds + report.evaluate_seconds <= report.seconds * 1.01
    assert first.prefix_seconds > 0
    assert third.prefix_seconds == 0
    assert third.prefix_seconds_per_image > 0
    (warm,) = finetune(begin(unfreeze=0.0, views=1, store=store, max_epochs=1))
    assert warm.prefix_seconds == 0
    assert warm.prefix_seconds_per_image > 0, "the trial that stored the features has told"


def test_a_finished_fine_tune_runs_no_further_epoch(begin: Any) -> None:
    done = begin(max_epochs=2)
    list(finetune(done))
    again = begin(max_epochs=2)
    again.load_state_dict(done.state_dict())
    assert list(finetune(again)) == []


def test_plateau_follows_recorded_losses_without_validation(begin: Any) -> None:
    fields = {"schedule": "plateau", "learning_rate": 0.1, "max_epochs": 5, "val": None}
    losses = [1.0, 1.1, 1.2, 0.9, 1.0]
    again = list(finetune(begin(**fields, plateau_losses=losses)))
    assert [r.learning_rate for r in again] == pytest.approx([0.1, 0.1, 0.1, 0.03, 0.03])
    assert [r.learning_rate for r in finetune(begin(**fields))] == [0.1] * 5


def test_exhausted_patience_ends_training(begin: Any) -> None:
    reports = list(finetune(begin(max_epochs=20, patience=2, learning_rate=1e-12)))
    assert len(reports) == 3
    assert reports[-1].is_last


def test_stop_after_ends_training_before_the_schedule_does(begin: Any) -> None:
    whole = list(finetune(begin(max_epochs=4)))
    part = list(finetune(begin(max_epochs=4, stop_after=2)))
    assert [r.train_loss for r in part] == [r.train_loss for r in whole[:2]]
    assert part[-1].is_last


def test_a_diverging_loss_ends_training_and_is_reported(begin: Any) -> None:
    reports = list(finetune(begin(max_epochs=9, learning_rate=1e30, optimizer="sgd")))
    assert reports[-1].diverged
    assert reports[-1].is_last
    assert len(reports) < 9


def test_without_validation_the_scores_are_nan_and_nothing_has_diverged(begin: Any) -> None:
    report = next(finetune(begin(val=None)))
    assert math.isnan(report.val_accuracy)
    assert not report.diverged


def test_head_only_training_leaves_the_backbone_as_it_was(begin: Any) -> None:
    tuning = begin(unfreeze=0.0)
    before = {n: t.clone() for n, t in tuning.model.state_dict().items()}
    list(finetune(tuning))
    changed = {n for n, t in tuning.model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_gradual_unfreezing_unfreezes_groups_epoch_by_epoch(begin: Any) -> None:
    tuning = begin(max_epochs=6, gradual_unfreezing=True)
    unfrozen = []
    for _ in finetune(tuning):
        unfrozen.append(sum(p.requires_grad for p in tuning.model.parameters()))
    assert unfrozen == sorted(unfrozen)
    assert unfrozen[0] == 2
    assert unfrozen[3:] == [len(list(tuning.model.parameters()))] * 3


def test_l1_shrinks_the_weights(begin: Any) -> None:
    def size(tuning: FineTuning) -> float:
        list(finetune(tuning))
        return sum(p.abs().sum().item() for p in tuning.model.parameters() if p.ndim > 1)

    assert size(begin(l1=1e-2)) < 0.9 * size(begin(l1=0.0))


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "rmsprop"])
def test_every_optimizer_lowers_the_loss(begin: Any, optimizer: str) -> None:
    reports = list(finetune(begin(max_epochs=4, optimizer=optimizer, learning_rate=3e-3)))
    assert reports[-1].train_loss < reports[0].train_loss


PROBE = {"head": "solved", "unfreeze": 0.0, "augment": 0.0, "dropout": 0.0}


def test_a_linear_probe_ends_after_one_epoch_and_beats_a_trained_head(begin: Any) -> None:
    (report,) = finetune(begin(max_epochs=5, **PROBE))
    assert report.is_last
    trained = list(finetune(begin(max_epochs=5, **{**PROBE, "head": "trained"})))
    assert report.train_loss < trained[-1].train_loss
    assert report.val_accuracy > max(epoch.val_accuracy for epoch in trained)


def test_a_linear_probe_is_restored_from_its_checkpoint(begin: Any) -> None:
    probe = begin(max_epochs=5, **PROBE)
    list(finetune(probe))
    again = begin(max_epochs=5, **PROBE)
    again.load_state_dict(probe.state_dict())
    assert again.ended
    weights = zip(probe.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


@pytest.fixture
def saved(tmp_path: Path) -> Weights:
    """Weights in a file, as pretrained ones are."""
    file = tmp_path / "weights.safetensors"
    save_file(untrained_model("test_efficientnet").state_dict(), file)
    return Weights("test_efficientnet", "saved", file)


def test_a_head_may_start_at_the_linear_probe_of_its_backbone(begin: Any, saved: Weights) -> None:
    given = {"weights": saved, "backbone": "test_efficientnet"}
    probe = begin(**given, **PROBE)
    list(finetune(probe))
    fields = {"unfreeze": 1.0, "augment": 0.0, "dropout": 0.0, "head_start": "solved"}
    still = begin(**given, **fields, learning_rate=1e-12)
    still.run_round()
    assert still.logits == pytest.approx(probe.logits, abs=1e-3)
    moved = begin(**given, **fields, learning_rate=1e-3)
    moved.run_round()
    again = begin(**given, **fields, learning_rate=1e-3)
    again.load_state_dict(copy.deepcopy(moved.state_dict()))
    assert again.run_round().train_loss == moved.run_round().train_loss


def test_of_two_heads_the_one_that_reads_many_vectors_has_no_probe_and_stays_at_zero(
    begin: Any, tmp_path: Path
) -> None:
    """VOLO's auxiliary classifier reads the vectors of all patches."""
    file = tmp_path / "volo.safetensors"
    model = untrained_model("volo_d1_224", image_size=32)
    save_file(model.state_dict(), file)
    volo = {"backbone": "volo_d1_224", "weights": Weights("volo_d1_224", "saved", file)}
    probe = begin(**volo, **PROBE)
    (report,) = finetune(probe)
    assert report.val_loss < math.log(3)
    heads = head_of(probe.model)
    assert heads["head.weight"].any()
    assert not heads["aux_head.weight"].any()
    tuning = begin(**volo, unfreeze=0.0, augment=0.0, learning_rate=1e-12, cache=tmp_path)
    tuning.run_round()
    assert tuning.logits == pytest.approx(probe.logits, abs=1e-3)


def test_a_hidden_or_untrained_head_starts_at_zero(begin: Any, saved: Weights) -> None:
    fields = {"backbone": "test_efficientnet", "head_start": "solved", "learning_rate": 1e-12}
    for tuning in (begin(**fields), begin(**fields, weights=saved, head_hidden=8)):
        tuning.run_round()
        assert np.abs(tuning.logits).max() < 1e-6


def test_frozen_batchnorm_keeps_every_statistic_while_all_layers_train(
    begin: Any, saved: Weights
) -> None:
    tuning = begin(unfreeze=1.0, batchnorm="frozen", backbone="test_efficientnet", weights=saved)
    before = {name: value.clone() for name, value in tuning.model.named_buffers()}
    list(finetune(tuning))
    kept = [torch.equal(before[name], value) for name, value in tuning.model.named_buffers()]
    assert kept
    assert all(kept)
    learns = begin(unfreeze=1.0, batchnorm="frozen", backbone="test_efficientnet")
    before = {name: value.clone() for name, value in learns.model.named_buffers()}
    list(finetune(learns))
    kept = [torch.equal(before[name], value) for name, value in learns.model.named_buffers()]
    assert not all(kept), "untrained weights have no statistics to keep"
