"""The order in which an epoch shows its images, and what balancing makes of it."""

import numpy as np

from spaces import TrialParams


def training_batches(
    labels: np.ndarray, params: TrialParams, rng: np.random.Generator
) -> list[np.ndarray]:
    """An epoch's positions in random order, cut into batches; none has a single image.

    "oversample" repeats images until every class is as frequent as the most frequent one,
    "undersample" draws as many of each class as the rarest has.
    """
    order = np.arange(len(labels))
    if params.balance in ("oversample", "undersample"):
        by_class = [np.flatnonzero(labels == k) for k in np.unique(labels)]
        sizes = [len(members) for members in by_class]
        size = max(sizes) if params.balance == "oversample" else min(sizes)
        order = np.concatenate([_draw(members, size, rng) for members in by_class])
    order = rng.permutation(order)
    batches = np.split(order, range(params.batch_size, len(order), params.batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:  # BatchNorm can't train on one image
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def _draw(members: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """``size`` of ``members``, each as often as any other, to within one."""
    whole, rest = divmod(size, len(members))
    return np.concatenate([np.tile(members, whole), rng.permutation(members)[:rest]])
