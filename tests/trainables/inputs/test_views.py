import numpy as np
import pytest
import torch

from trainables.data import ImageSet
from trainables.inputs import TransformKinds, Views
from trainables.inputs.views import LEVELS

ROWS = np.arange(4000)


@pytest.mark.parametrize("strength", [0.0, 0.13, 0.5, 0.8, 1.0])
def test_levels_are_the_two_nearest_to_the_strength_and_average_to_it(strength: float) -> None:
    levels = np.array(LEVELS)[Views(strength, 4, 0).levels(ROWS, 2)]
    assert levels.mean() == pytest.approx(strength, abs=0.02)
    assert len(np.unique(levels)) == (1 if strength in LEVELS else 2)


def test_a_higher_strength_never_lowers_the_level_of_an_image() -> None:
    weak, strong = (Views(s, 4, 0).levels(ROWS, 1) for s in (0.1, 0.4))
    assert (strong >= weak).all()


def test_views_are_reused_in_turn_or_are_new_in_every_epoch() -> None:
    assert [Views(0.3, 3, 0).view_of(epoch) for epoch in range(7)] == [0, 1, 2, 0, 1, 2, 0]
    assert [Views(0.3, None, 0).view_of(epoch) for epoch in range(7)] == list(range(7))


def test_a_view_of_an_image_is_the_same_in_every_trial_and_batch(train_set: ImageSet) -> None:
    images, rows = train_set.images(np.arange(8)), np.arange(8) + 16_380
    levels = np.full(8, 2)
    first = Views(0.7, 4, 0).augment(images, rows, 1, levels)
    again = Views(1.0, None, 0).augment(images[3:], rows[3:], 1, levels[3:])
    assert torch.equal(first[3:], again)
    assert not torch.equal(first, Views(0.7, 4, 0).augment(images, rows, 2, levels))
    assert not torch.equal(first, Views(0.7, 4, 1).augment(images, rows, 1, levels))


def test_numbers_of_a_view_are_drawn_once_however_many_images_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, drawn = np.arange(0, 2_000_000, 16_000), []
    new = np.random.default_rng
    monkeypatch.setattr("numpy.random.default_rng", lambda seed: (drawn.append(seed), new(seed))[1])
    views = Views(0.3, 4, 123_456)
    first = views.levels(rows, 1)
    count = len(drawn)
    assert count > 100
    assert (views.levels(rows[::-1], 1)[::-1] == first).all()
    assert len(drawn) == count


@pytest.mark.parametrize(("strength", "blocks"), [(0.0, 1), (0.2, 5), (0.5, 4), (0.7, 8), (1.0, 4)])
def test_an_images_views_are_counted_over_all_levels_in_use(strength: float, blocks: int) -> None:
    assert Views(strength, 4, 0).count_per_image() == blocks
    assert Views(strength, None, 0).count_per_image() == (1 if strength == 0 else np.inf)


def test_only_unchanged_images_are_shared_by_trials_of_different_kinds() -> None:
    mirrored, upright = (
        Views(0.3, 4, 0, TransformKinds(flips=flips)) for flips in ("horizontal", "none")
    )
    assert mirrored.block_id(0, 2) == upright.block_id(0, 2)
    assert mirrored.block_id(1, 2) != upright.block_id(1, 2)
    assert mirrored.block_id(1, 2) == Views(1.0, None, 0).block_id(1, 2)
