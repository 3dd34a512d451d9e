"""Assignment of images to cross-validation folds: stratified by class, duplicates together."""

from collections.abc import Sequence

import numpy as np


def fold_numbers(
    labels: np.ndarray, folds: int = 5, seed: int = 0, *, digests: Sequence[str] | None = None
) -> np.ndarray:
    """``(n,)`` fold indices, 0 to ``folds - 1``, drawn at random and stratified by ``(n,)`` labels.

    With ``(n,)`` ``digests`` of the image files, images of the same digest share a fold.
    Stratification then counts each distinct image once, with the label of its first file.
    """
    if digests is not None:
        _, first, group = np.unique(digests, return_index=True, return_inverse=True)
        return fold_numbers(labels[first], folds, seed)[group]
    numbers = np.empty(len(labels), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    numbers[order] = np.arange(len(labels)) % folds
    return numbers
