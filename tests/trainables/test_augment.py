import numpy as np
import pytest
import torch

from trainables.augment import augment
from trainables.pixels import ImageSet


@pytest.fixture
def images(train_set: ImageSet) -> torch.Tensor:
    return train_set.images(np.arange(32)).float() / 255


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_strength_zero_changes_nothing(images: torch.Tensor) -> None:
    assert augment(images, 0.0, seeded()) is images


def test_more_strength_moves_images_further(images: torch.Tensor) -> None:
    change = [
        (augment(images, strength, seeded()) - images).abs().mean().item()
        for strength in (0.05, 0.2, 0.5, 1.0)
    ]
    assert change == sorted(change)
    assert change[0] > 0


def test_every_image_of_a_batch_is_transformed_differently(images: torch.Tensor) -> None:
    same = images[:1].expand(16, -1, -1, -1)
    moved = augment(same, 0.5, seeded())
    pairs = [(moved[i] - moved[j]).abs().max() for i in range(16) for j in range(i)]
    assert min(pairs) > 0.01


def test_a_seed_repeats_and_another_differs(images: torch.Tensor) -> None:
    first = augment(images, 0.5, seeded(1))
    assert torch.equal(first, augment(images, 0.5, seeded(1)))
    assert not torch.equal(first, augment(images, 0.5, seeded(2)))


def test_pixels_stay_in_range_and_shape(images: torch.Tensor) -> None:
    moved = augment(images, 1.0, seeded())
    assert moved.shape == images.shape
    assert 0 <= moved.min() <= moved.max() <= 1


def test_images_are_not_changed_in_place(images: torch.Tensor) -> None:
    before = images.clone()
    augment(images, 1.0, seeded())
    assert torch.equal(before, images)
