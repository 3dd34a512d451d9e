from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.config import WHOLE_EPOCHS, Rounds, SweepConfig, Validation
from trainables.data import Dataset


def validation(images: Dataset, rounds: Rounds = WHOLE_EPOCHS, **given: object) -> Validation:
    config = SweepConfig.parse({"data": "d", "metric": "val_accuracy", **given})
    return Validation.of(config, images, rounds)


def dataset(train: int, val: int, in_unit: int = 1) -> Dataset:
    """Images of two alternating classes, ``in_unit`` of a class in a unit; val was drawn."""
    names = tuple(map(str, range(train + val)))
    splits = np.array(["train"] * train + ["val"] * val)
    labels = np.arange(train + val) % 2
    units = tuple(f"{k % 2} {k // 2 // in_unit}" for k in range(train + val))
    return Dataset(Path("/"), ("a", "b"), names, labels, splits, names, "f", units, True)


def test_parts_of_the_training_images_have_as_many_images_as_validate_and_every_class() -> None:
    images = dataset(train=80, val=20)
    found = validation(images, seed=3)
    assert found.images == 20
    assert sorted(np.concatenate(found.parts)) == images.rows("train").tolist()
    assert [np.bincount(images.labels[part]).tolist() for part in found.parts] == [[10, 10]] * 4
    again = validation(images, seed=3).parts
    assert all((one == other).all() for one, other in zip(found.parts, again, strict=True))


def test_images_of_a_unit_are_in_one_part() -> None:
    images = dataset(train=80, val=20, in_unit=10)
    units = [set(images.units_at(part)) for part in validation(images).parts]
    assert sum(map(len, units)) == len(set.union(*units)) == 8


@pytest.mark.parametrize(
    "images",
    [
        dataset(train=80, val=10, in_unit=20),  # of each class, two units for eight parts
        dataset(train=50, val=20),
        replace(dataset(80, 20), units=("0",) * 40 + tuple(map(str, range(60)))),
    ],
)
def test_repeats_have_the_same_images_if_parts_lack_a_class_or_are_large(images: Dataset) -> None:
    assert len(validation(images).parts) == 0


@pytest.mark.parametrize(
    ("given", "rounds", "is_drawn"),
    [({}, WHOLE_EPOCHS, False), ({"folds": 2}, WHOLE_EPOCHS, True), ({}, Rounds(4), True)],
)
def test_repeats_have_the_same_images_if_those_were_given_or_folds_or_rounds_use_all(
    given: dict[str, object], rounds: Rounds, is_drawn: bool
) -> None:
    images = replace(dataset(train=80, val=20), val_is_drawn=is_drawn)
    assert len(validation(images, rounds, **given).parts) == 0


def test_a_mean_over_classes_is_as_uncertain_as_a_share_of_fewer_images() -> None:
    images = replace(dataset(train=80, val=20), labels=np.array([0] * 95 + [1] * 5))
    assert validation(images).images == 20
    mean = validation(images, metric="val_balanced_accuracy").images
    assert mean == pytest.approx(4 / (1 / 15 + 1 / 5))
