"""Training batches of an epoch: shuffled, and resampled by class to balance them."""

from collections.abc import Sequence

import numpy as np

from spaces import TrialParams


def training_batches(
    labels: np.ndarray, params: TrialParams, rng: np.random.Generator, *, rounds: int = 1
) -> list[np.ndarray]:
    """Batches of an epoch: positions of images in random order, at least two in each batch.

    "oversample" repeats images until every class has as many as the largest class; with several
    ``rounds`` an epoch, all classes together have as many images as without, so that a round takes
    no longer than planned. "undersample" draws from each class as many images as the smallest class
    has. ``labels`` are ``(n,)`` class numbers. If the last batch has only one image, it is merged
    with the batch before.
    """
    order = np.arange(len(labels))
    if params.balance in ("oversample", "undersample"):
        by_class = [np.flatnonzero(labels == k) for k in np.unique(labels)]
        sizes = [len(members) for members in by_class]
        size = min(sizes)
        if params.balance == "oversample":
            size = max(sizes) if rounds == 1 else -(-len(labels) // len(sizes))
        order = np.concatenate([_draw(members, size, rng) for members in by_class])
    order = rng.permutation(order)
    batches = np.split(order, range(params.batch_size, len(order), params.batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:  # BatchNorm can't train on one image
        batches[-2:] = [np.concatenate(batches[-2:])]
    return batches


def round_of(batches: Sequence[np.ndarray], part: int, rounds: int) -> Sequence[np.ndarray]:
    """Batches of a part of an epoch, one of ``rounds`` that are as equal as possible.

    ``part`` counts from 0. If there are fewer batches than rounds, batches repeat.
    """
    first, end = (number * len(batches) // rounds for number in (part, part + 1))
    return batches[first : max(end, first + 1)]


def _draw(members: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``size`` items from ``members``, with counts that differ by at most 1."""
    repeats, remainder = divmod(size, len(members))
    return np.concatenate([np.tile(members, repeats), rng.permutation(members)[:remainder]])
