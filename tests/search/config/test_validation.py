from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.config import WHOLE_EPOCHS, Rounds, SweepConfig, Validation
from trainables.data import Dataset


def config(**given: object) -> SweepConfig:
    return SweepConfig.parse({"data": "d", "metric": "val_accuracy", **given})


def dataset(train: int, val: int, units: int = 1) -> Dataset:
    """Two classes by turns, whose validation images were drawn; so many images are a unit."""
    names = tuple(map(str, range(train + val)))
    splits = np.array(["train"] * train + ["val"] * val)
    labels = np.arange(train + val) % 2
    of_unit = tuple(f"{k % 2} {k // 2 // units}" for k in range(train + val))
    return Dataset(
        Path("/"), ("a", "b"), names, labels, splits, names, "f", of_unit, val_is_drawn=True
    )


def test_parts_of_the_training_images_have_as_many_images_as_validate_and_every_class() -> None:
    images = dataset(train=80, val=20)
    validation = Validation.of(config(), images, WHOLE_EPOCHS)
    assert validation == Validation(images=20, parts=4)
    parts = [validation.rows_of_part(part, images, seed=3) for part in range(4)]
    assert sorted(np.concatenate(parts)) == images.rows("train").tolist()
    for part in parts:
        assert np.bincount(images.labels[part]).tolist() == [10, 10]


def test_images_of_a_unit_are_in_one_part() -> None:
    images = dataset(train=80, val=20, units=10)
    validation = Validation.of(config(), images, WHOLE_EPOCHS)
    parts = [validation.rows_of_part(part, images, seed=0) for part in range(validation.parts)]
    units = [set(images.units_at(part)) for part in parts]
    assert sum(map(len, units)) == len(set.union(*units)) == 8


def test_there_are_no_more_parts_than_units_of_a_class() -> None:
    images = dataset(train=80, val=10, units=10)
    assert Validation.of(config(), images, WHOLE_EPOCHS).parts == 4


@pytest.mark.parametrize("images", [dataset(train=80, val=10, units=20), dataset(50, val=20)])
def test_repeats_have_the_same_images_if_parts_would_leave_few_to_train_on(images: Dataset) -> None:
    assert Validation.of(config(), images, WHOLE_EPOCHS).parts == 0


@pytest.mark.parametrize(
    ("given", "rounds", "is_drawn"),
    [({}, WHOLE_EPOCHS, False), ({"folds": 2}, WHOLE_EPOCHS, True), ({}, Rounds(4), True)],
)
def test_repeats_have_the_same_images_where_others_say_less(
    given: dict[str, object], rounds: Rounds, is_drawn: bool
) -> None:
    images = replace(dataset(train=80, val=20), val_is_drawn=is_drawn)
    assert Validation.of(config(**given), images, rounds).parts == 0
