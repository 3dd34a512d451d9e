from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from spaces import TrialParams
from trainables.data import ImageSet
from trainables.inputs import NUMBERS_PER_IMAGE, TransformKinds, augment
from trainables.inputs.augmentation import _on_cpu, _on_gpu, _Plan

NO_KINDS = TransformKinds("none", 0.0, zoom=False, colour=False, noise=False, erasing=False)


@pytest.fixture
def images(train_set: ImageSet) -> torch.Tensor:
    return train_set.images(np.arange(32))


def drawn(seed: int = 0, n: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).random((n, NUMBERS_PER_IMAGE))


def at(strength: float, n: int = 32) -> np.ndarray:
    return np.full(n, strength)


def test_strength_zero_changes_nothing(images: torch.Tensor) -> None:
    assert augment(images, at(0.0), drawn()) is images


def test_higher_strength_changes_images_more(images: torch.Tensor) -> None:
    change = [
        (augment(images, at(strength), drawn()).float() - images).abs().mean().item()
        for strength in (0.05, 0.2, 0.5, 1.0)
    ]
    assert change == sorted(change)
    assert change[0] > 0


def test_every_image_of_a_batch_is_transformed_differently(images: torch.Tensor) -> None:
    same = images[:1].expand(16, -1, -1, -1)
    moved = augment(same, at(0.5, 16), drawn(n=16)).float()
    pairs = [(moved[i] - moved[j]).abs().max() for i in range(16) for j in range(i)]
    assert min(pairs) > 3


def test_the_transform_of_an_image_depends_only_on_its_own_random_numbers(
    images: torch.Tensor,
) -> None:
    strengths = np.linspace(0, 1, 32)
    together = augment(images, strengths, drawn())
    for i in (0, 7, 31):
        alone = augment(images[i : i + 1], strengths[i : i + 1], drawn()[i : i + 1])
        assert torch.equal(together[i], alone[0])
    assert torch.equal(together[0], images[0]), "strength 0"


@pytest.mark.parametrize("kinds", [TransformKinds(), TransformKinds("both", 180.0, zoom=False)])
def test_the_cpu_and_gpu_implementations_give_the_same_images(
    images: torch.Tensor, kinds: TransformKinds
) -> None:
    plan = _Plan.of(at(0.6), drawn(), kinds, 32, 32)
    apart = (_on_cpu(images, plan, np.arange(32)).float() - _on_gpu(images, plan).float()).abs()
    assert apart.mean() < 1.5
    assert (apart > 16).float().mean() < 0.01


def test_the_result_is_uint8_and_channels_last(images: torch.Tensor) -> None:
    moved = augment(images, at(1.0), drawn())
    assert (moved.shape, moved.dtype) == (images.shape, torch.uint8)
    assert moved.is_contiguous(memory_format=torch.channels_last)


def test_images_are_not_changed_in_place(images: torch.Tensor) -> None:
    before = images.clone()
    augment(images, np.linspace(0, 1, 32), drawn())
    assert torch.equal(before, images)


def test_all_kinds_are_on_by_default_and_in_records_that_name_none() -> None:
    assert TransformKinds.of(TrialParams(backbone="test_vit")) == TransformKinds()


def test_without_any_kind_images_stay_as_they_are(images: torch.Tensor) -> None:
    assert torch.equal(augment(images, at(1.0), drawn(), NO_KINDS), images)
    plan = _Plan.of(at(1.0), drawn(), NO_KINDS, 32, 32)
    assert torch.equal(_on_gpu(images, plan), images)


@pytest.mark.parametrize(
    ("off", "parts"),
    [
        ({"flips": "none"}, {"maps"}),
        ({"max_rotation": 0.0}, {"maps"}),
        ({"zoom": False}, {"maps"}),
        ({"colour": False}, {"colours"}),
        ({"noise": False}, {"noise"}),
        ({"erasing": False}, {"boxes"}),
    ],
)
def test_a_kind_that_is_off_leaves_the_other_kinds_as_they_were(
    off: dict[str, Any], parts: set[str]
) -> None:
    whole = vars(_Plan.of(at(0.7), drawn(), TransformKinds(), 32, 32))
    without = vars(_Plan.of(at(0.7), drawn(), replace(TransformKinds(), **off), 32, 32))
    changed = {name for name in whole if not np.array_equal(whole[name], without[name])}
    assert changed == parts


def linear_maps(strength: float, kinds: TransformKinds, n: int = 4000) -> np.ndarray:
    """``(n, 2, 2)`` maps without shifts."""
    return _Plan.of(at(strength, n), drawn(n=n), kinds, 32, 32).maps[:, :, :2]


@pytest.mark.parametrize("strength", [0.2, 1.0])
def test_images_are_mirrored_in_the_directions_of_flips_and_each_by_itself(
    strength: float,
) -> None:
    share = min(0.5, strength)
    for flips, expected in (("none", (0, 0)), ("horizontal", (share, 0)), ("both", (share, share))):
        maps = linear_maps(strength, replace(NO_KINDS, flips=flips))  # type: ignore[arg-type]
        x, y = maps[:, 0, 0] < 0, maps[:, 1, 1] < 0
        assert (x.mean(), y.mean()) == pytest.approx(expected, abs=0.02)
        assert (x & y).mean() == pytest.approx(expected[0] * expected[1], abs=0.02)


def test_a_mirrored_image_has_its_columns_or_rows_reversed(images: torch.Tensor) -> None:
    kinds = replace(NO_KINDS, flips="both")
    seen = augment(images, at(1.0), drawn(), kinds)
    mirrored = [images, images.flip(3), images.flip(2), images.flip(2, 3)]
    alike = torch.stack([(seen == other).flatten(1).all(dim=1) for other in mirrored])
    assert alike.any(dim=0).all()
    assert alike.any(dim=1).all()


@pytest.mark.parametrize("degrees", [0.0, 10.0, 180.0])
def test_images_turn_by_at_most_the_largest_rotation(degrees: float) -> None:
    maps = linear_maps(0.5, replace(NO_KINDS, max_rotation=degrees))
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert np.abs(angles).max() == pytest.approx(degrees / 2, rel=0.01)
