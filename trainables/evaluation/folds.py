"""Assignment of images to cross-validation folds: stratified by class, duplicates together."""

from collections.abc import Sequence

import numpy as np

from trainables.stratification import assign_units


def fold_numbers(
    labels: np.ndarray,
    folds: int = 5,
    seed: int = 0,
    *,
    digests: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
) -> np.ndarray:
    """``(n,)`` fold indices, 0 to ``folds - 1``, drawn at random and stratified by ``(n,)`` labels.

    With ``(n,)`` ``digests`` of the image files, images of the same digest share a fold.
    Stratification then counts each distinct image once, with the label of its first file.

    With ``(n,)`` ``units`` too, images of the same unit share a fold. If they are not the digests,
    folds are drawn by `assign_units`, which may leave a class with few units out of a fold.
    """
    if units is not None and list(units) != list(digests or ()):
        return assign_units(labels, units, [1 / folds] * folds, seed)
    if digests is not None:
        _, first, group = np.unique(digests, return_index=True, return_inverse=True)
        return fold_numbers(labels[first], folds, seed)[group]
    numbers = np.empty(len(labels), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    numbers[order] = np.arange(len(labels)) % folds
    return numbers
