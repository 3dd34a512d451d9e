"""Tests that need a GPU; skipped without one."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from spaces import TrialParams
from tests.support.models import untrained_model
from trainables.data import ImageSet
from trainables.inputs import NUMBERS_PER_IMAGE, FeatureStore, augment
from trainables.models import Weights, split_model, unfreeze_groups
from trainables.training import ComputeSettings, FineTuneSettings, FineTuning, logits_of

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
]


@pytest.fixture(autouse=True)
def whole_card() -> Iterator[None]:
    """Undo memory caps and the synchronization debug mode after each test."""
    yield
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.fixture
def begin(train_set: ImageSet, val_set: ImageSet, params: TrialParams) -> Any:
    """Begin a fine-tune of the digits on the card, some fields changed."""

    def make(*, store: FeatureStore | None = None, images: int | None = None, **fields: Any) -> Any:
        device, precision = fields.pop("device", "cuda"), fields.pop("precision", "auto")
        file = fields.pop("file", None)
        chosen = params.model_copy(update=fields)
        return FineTuning(
            chosen,
            Weights(chosen.backbone, "", file),
            num_classes=3,
            train=train_set.take(images),
            val=val_set,
            settings=FineTuneSettings(max_epochs=8),
            compute=ComputeSettings(device=device, precision=precision, store=store),
        )

    return make


@pytest.mark.parametrize("unfreeze", [0.0, 0.5, 1.0])
def test_a_fine_tune_learns_in_bfloat16(begin: Any, unfreeze: float) -> None:
    tuning = begin(unfreeze=unfreeze, learning_rate=1e-2)
    reports = [tuning.run_round() for _ in range(8)]
    assert tuning._autocast == torch.bfloat16
    assert reports[-1].train_loss < reports[0].train_loss
    assert max(report.val_accuracy for report in reports) > 0.6
    assert reports[-1].peak_memory_mib > 1


@pytest.mark.parametrize(
    "fields",
    [
        {"unfreeze": 1.0, "augment": 0.3},
        {"unfreeze": 0.0, "augment": 0.5},
        {"balance": "weighted", "focal_gamma": 2.0, "l1": 1e-5, "label_smoothing": 0.1},
        {"optimizer": "sgd", "dropout": 0.3},
        {"optimizer": "rmsprop", "batchnorm": "all"},
    ],
)
def test_no_training_step_synchronizes_with_the_gpu(begin: Any, fields: dict[str, Any]) -> None:
    tuning = begin(images=15 * 16, **fields)
    tuning.run_round()  # what is made once may wait
    read_out = torch.Tensor.item
    quiet = {"on": True}

    def item(tensor: torch.Tensor) -> Any:
        torch.cuda.set_sync_debug_mode("default")  # once an epoch, for its loss
        quiet["on"] = False
        return read_out(tensor)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.Tensor, "item", item)
        torch.cuda.set_sync_debug_mode("error")
        tuning._train_round()
    assert not quiet["on"]


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_images_are_augmented_as_on_a_cpu(train_set: ImageSet, strength: float) -> None:
    images = train_set.images(np.arange(32))
    rng = np.random.default_rng(0)
    strengths = np.where(np.arange(32) % 4, strength, 0.0)
    numbers = rng.random((32, NUMBERS_PER_IMAGE), dtype=np.float32)
    here = augment(images, strengths, numbers)
    there = augment(images.to("cuda"), strengths, numbers)
    assert there.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(there[::4].cpu(), images[::4]), "strength 0 changes nothing"
    apart = (there.cpu().float() - here.float()).abs()
    assert apart.mean() < 1.5
    assert (apart > 16).float().mean() < 0.02, "a border's pixel may fall on the other side"


def test_an_evaluation_equals_that_on_a_cpu(begin: Any) -> None:
    card = begin(precision="fp32")
    card.run_round()
    cpu = begin(device="cpu", precision="fp32")
    cpu.model.load_state_dict({k: v.cpu() for k, v in card.model.state_dict().items()})
    ours, theirs = logits_of(card.model, card._val), logits_of(cpu.model, cpu._val)
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


def test_a_stored_feature_equals_the_computed_one(begin: Any, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, 2**30, "float32")
    fields = {"unfreeze": 0.0, "augment": 0.0, "precision": "fp32"}
    kept, plain = begin(store=store, **fields), begin(**fields)
    for _ in range(3):
        assert kept.run_round().train_loss == pytest.approx(plain.run_round().train_loss, rel=1e-3)


@pytest.mark.parametrize(
    "backbone",
    [
        "resnet50",
        "convnext_tiny",
        "vit_small_patch16_224",
        "efficientnet_b0",
        "swin_tiny_patch4_window7_224",
    ],
)
def test_a_backbone_of_each_family_is_split_on_a_gpu(backbone: str) -> None:
    model = timm.create_model(backbone, num_classes=3).to("cuda")
    made = split_model(model, 0, 224)
    assert made.prefix_module is not None
    unfreeze_groups(model, 0)


def test_out_of_memory_training_continues_with_micro_batches(begin: Any) -> None:
    fields = {"backbone": "resnet50", "image_size": 32, "batch_size": 2048, "images": 2048}
    free = begin(**fields)
    peak = free.run_round().peak_memory_mib
    del free
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    torch.cuda.set_per_process_memory_fraction(0.5 * peak / total)
    tight = begin(**fields)
    report = tight.run_round()
    assert tight.ran_out_of_memory
    assert np.isfinite(report.train_loss)
    assert report.peak_memory_mib <= 0.51 * peak


def test_a_trial_continues_from_its_checkpoint(begin: Any) -> None:
    whole = begin(dropout=0.2)
    for _ in range(2):
        whole.run_round()
    again = begin(dropout=0.2)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    ours, theirs = again.run_round(), whole.run_round()
    assert ours.epoch == 3
    assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.02)


def _wait_for_gpu(_module: Any, _inputs: Any, output: torch.Tensor) -> None:
    output.sum().item()


def losses_of(tuning: Any, epochs: int = 3) -> list[float]:
    """Training losses."""
    return [tuning.run_round().train_loss for _ in range(epochs)]


@pytest.mark.parametrize(
    "fields",
    [
        {"unfreeze": 1.0},
        {"unfreeze": 0.5, "dropout": 0.5, "drop_path": 0.2},
        {"unfreeze": 1.0, "gradual_unfreezing": True},
        {"balance": "weighted", "focal_gamma": 2.0, "l1": 1e-5, "label_smoothing": 0.1},
        {"optimizer": "sgd", "batchnorm": "all"},
        {"unfreeze": 1.0, "images": 15 * 16 + 5},
    ],
)
def test_steps_that_are_replayed_as_a_graph_give_the_same_losses(
    begin: Any, fields: dict[str, Any]
) -> None:
    fields = {"images": 15 * 16, "precision": "fp32", **fields}
    recorded, plain = begin(**fields), begin(**fields)
    plain._steps.gradients.stop_recording()
    assert losses_of(recorded) == pytest.approx(losses_of(plain), rel=1e-3)
    assert recorded._steps.gradients._graph is not None
    assert plain._steps.gradients._graph is None


def test_frozen_batchnorm_and_a_head_of_a_probe_train_as_a_graph(
    begin: Any, params: TrialParams, tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(untrained_model(params.backbone).state_dict(), file)
    fields = {"images": 15 * 16, "precision": "fp32", "file": file, "unfreeze": 1.0}
    recorded, plain = begin(**fields), begin(**fields)
    plain._steps.gradients.stop_recording()
    assert losses_of(recorded) == pytest.approx(losses_of(plain), rel=1e-3)
    assert recorded._steps.gradients._graph is not None


def test_a_fine_tune_that_continues_gives_the_same_losses_as_a_graph(begin: Any) -> None:
    whole = begin(dropout=0.5, precision="fp32", images=15 * 16)
    losses_of(whole, 1)
    again = begin(dropout=0.5, precision="fp32", images=15 * 16)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert losses_of(again, 2) == pytest.approx(losses_of(whole, 2), rel=1e-3)
    assert again._steps.gradients._graph is not None


def test_a_model_that_waits_for_the_gpu_trains_without_a_graph(
    begin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"images": 15 * 16, "precision": "fp32", "dropout": 0.3}
    waiting, plain = begin(**fields), begin(**fields)
    plain._steps.gradients.stop_recording()
    waiting.model.get_classifier().register_forward_hook(_wait_for_gpu)
    stream = torch.cuda.current_stream()
    with caplog.at_level("INFO", "finesweep"):
        losses = losses_of(waiting)
    assert not waiting._steps.gradients._may_record
    assert "training steps wait for the GPU, so no CUDA graph is recorded" in caplog.text
    assert torch.cuda.current_stream() == stream
    assert losses == pytest.approx(losses_of(plain), rel=1e-3)


def test_a_graph_that_does_not_fit_the_memory_is_not_recorded(begin: Any) -> None:
    fields = {"backbone": "resnet50", "image_size": 32, "batch_size": 512, "images": 2048 - 1}
    free = begin(**fields)
    free._steps.gradients.stop_recording()
    peak = free.run_round().peak_memory_mib
    del free
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    torch.cuda.set_per_process_memory_fraction(1.05 * peak / total)
    tight = begin(**fields)
    reports = [tight.run_round() for _ in range(2)]
    assert np.isfinite([report.train_loss for report in reports]).all()
    assert tight._steps.gradients._graph is None
    assert not tight.ran_out_of_memory, "it fits without a graph"
