import numpy as np

from trainables.evaluation import fold_numbers


def test_every_class_is_spread_evenly_over_the_folds() -> None:
    labels = np.repeat([0, 1, 2], [50, 10, 5])
    folds = fold_numbers(labels)
    for k, count in ((0, 10), (1, 2), (2, 1)):
        assert np.bincount(folds[labels == k]).tolist() == [count] * 5


def test_duplicates_of_an_image_share_a_fold() -> None:
    labels = np.tile(np.repeat([0, 1, 2], [50, 10, 5]), 2)
    folds = fold_numbers(labels, digests=[str(k) for k in range(65)] * 2)
    assert (folds[:65] == folds[65:]).all()
    assert np.bincount(folds).tolist() == [26] * 5


def test_the_seed_alone_decides_the_folds() -> None:
    labels = np.repeat([0, 1], 20)
    assert np.array_equal(fold_numbers(labels, seed=1), fold_numbers(labels, seed=1))
    assert not np.array_equal(fold_numbers(labels, seed=1), fold_numbers(labels, seed=2))
