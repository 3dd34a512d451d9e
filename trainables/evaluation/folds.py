"""Assignment of images to cross-validation folds: stratified by class, duplicates together."""

from collections.abc import Sequence

import numpy as np


def fold_numbers(
    labels: np.ndarray, folds: int = 5, seed: int = 0, *, digests: Sequence[str] | None = None
) -> np.ndarray:
    """``(n,)`` random fold numbers for ``(n,)`` class numbers, each class spread evenly.

    With ``(n,)`` ``digests`` of the image files, images of the same digest share a fold.
    """
    if digests is not None:
        _, first, copy_of = np.unique(digests, return_index=True, return_inverse=True)
        return fold_numbers(labels[first], folds, seed)[copy_of]
    numbers = np.empty(len(labels), dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    numbers[order] = np.arange(len(labels)) % folds
    return numbers
