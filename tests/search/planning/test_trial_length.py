from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.config import WHOLE_EPOCHS, Rounds, SweepConfig
from search.planning import choose_epochs, choose_rounds
from search.planning.trial_length import MAX_EPOCH_IMAGES
from trainables.data import Dataset


def images(train: int, val: int) -> Dataset:
    """Manifest of images of two classes in turn, without files."""
    count = train + val
    names = tuple(f"{k}.png" for k in range(count))
    splits = np.array(["train"] * train + ["val"] * val)
    return Dataset(Path("/"), ("a", "b"), names, np.arange(count) % 2, splits, names, "fingerprint")


def rounds(dataset: Dataset, speed: float | None = None, **settings: Any) -> Rounds:
    """Rounds at a ``speed`` in images per second, which is None if it must not be measured."""

    def measure() -> float:
        assert speed is not None, "the speed is not measured"
        return speed

    return choose_rounds(SweepConfig.parse({"data": "d", **settings}), dataset, measure)


def test_a_round_of_a_small_set_is_an_epoch_with_all_validation_images() -> None:
    assert rounds(images(MAX_EPOCH_IMAGES, 2000)) == WHOLE_EPOCHS


def test_a_round_of_a_large_set_takes_20_seconds_at_most() -> None:
    large = images(60_000, 9000)
    assert rounds(large, 200) == Rounds(round(60_000 / 2048), round(0.3 * 2048))
    assert rounds(large, 110) == rounds(large, 200), "small differences in speed change nothing"
    assert rounds(large, 210).per_epoch == round(60_000 / 4096)


def test_a_fast_machine_sees_an_epoch_in_a_round() -> None:
    assert rounds(images(60_000, 9000), 5000) == WHOLE_EPOCHS


def test_a_slow_machine_has_rounds_of_several_batches_and_enough_validation_images() -> None:
    assert rounds(images(60_000, 9000), 1) == Rounds(round(60_000 / 1024), 500)


def test_a_threshold_for_a_sensitivity_is_fitted_to_all_validation_images() -> None:
    assert rounds(images(60_000, 9000), 100, sensitivity="a=0.95").val_images is None


def test_folds_have_whole_epochs_unless_a_length_is_given() -> None:
    large = images(60_000, 9000)
    assert rounds(large, folds=3) == WHOLE_EPOCHS
    assert rounds(large, folds=3, round_images=23_000) == Rounds(2)


def test_a_trial_and_its_retraining_fit_into_the_time() -> None:
    seconds_of_epoch = (100 + 30 / 3) / (0.8 * 50)  # beside other trials

    def epochs(seconds: float, **settings: Any) -> int:
        config = SweepConfig.parse({"data": "d", **settings})
        return choose_epochs(config, images(100, 30), 50, seconds)

    assert epochs(1.8 * 4.1 * seconds_of_epoch) == 4
    assert epochs(4.1 * seconds_of_epoch, retrain=False) == 4
    assert (epochs(1e9), epochs(-5)) == (10, 1)


def test_given_lengths_are_kept() -> None:
    assert rounds(images(100, 40), round_images=25, val_images=10) == Rounds(4, 10)
    assert rounds(images(100, 40), round_images=1000) == WHOLE_EPOCHS


def test_a_part_of_the_validation_images_has_its_share_of_each_class() -> None:
    dataset, config = images(60_000, 9000), SweepConfig.parse({"data": "d"})
    rows = Rounds(20, 900).validation_rows(config, dataset)
    assert set(dataset.splits[rows]) == {"val"}
    assert np.bincount(dataset.labels[rows]).tolist() == [450, 450]
    again = Rounds(10, 900).validation_rows(config, dataset)
    assert np.array_equal(rows, again), "the same part every time"
    assert len(Rounds(20, 10_000).validation_rows(config, dataset)) == 9000


@pytest.mark.parametrize("value", [0, 1, -5, "some", 2.5])
def test_a_length_that_is_no_number_of_images_is_refused(value: object) -> None:
    with pytest.raises(Exception, match="round_images: must be auto or a number of images, 2 or"):
        SweepConfig.parse({"data": "d", "round_images": value})


def test_a_part_of_the_validation_images_is_refused_with_folds() -> None:
    with pytest.raises(Exception, match="val_images can't be given with folds"):
        SweepConfig.parse({"data": "d", "val_images": 100, "folds": 3})
