import numpy as np
import pytest
import torch

from trainables.data import ImageSet
from trainables.inputs import NUMBERS_PER_IMAGE, augment
from trainables.inputs.augmentation import _on_cpu, _on_gpu, _Plan


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


def test_the_cpu_and_gpu_implementations_give_the_same_images(images: torch.Tensor) -> None:
    plan = _Plan.of(at(0.6), drawn(), 32, 32)
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
