"""Candidates of `backbone = "auto"`: a plan keeps the few that promise most, and have weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.config import SweepConfig
from spaces import Candidates, KnownBackbone, SearchSpace, WeightsError, known_backbones
from spaces.wording import counted, name_some
from trainables.models import find_weights

KEPT = 8
"""Backbones that are kept. The best of eight was 0.8 to 2.0 points below the best of 63 in the mean
over 16 image sets ("all at once" in results/benchmarks/backbones.md)."""
MAX_FAILED_DOWNLOADS = 3
"""Downloads that may fail before only weights on this machine count."""
ARCHITECTURE_STD = 9.0
"""Standard deviation, in points, of what the backbones of one architecture have in common on an
image set: 10 times the variance of what is a backbone's own, as in the benchmark."""
OWN_STD = ARCHITECTURE_STD / 10**0.5
"""Standard deviation, in points, of what is a backbone's own on an image set."""
_DRAWS = 2000


@dataclass(frozen=True)
class KeptBackbones:
    """A space with the backbones that were kept, and how they were."""

    space: SearchSpace
    notes: tuple[str, ...] = ()
    """Sentences for the plan; none if the space names its backbones itself."""


def keep_most_promising(space: SearchSpace, config: SweepConfig) -> KeptBackbones:
    """Keep up to `KEPT` of a space's `Candidates`, the most promising first.

    Candidates whose weights can't be had are passed over. Raises `WeightsError` if none has any.
    """
    dimension = space.dimensions["backbone"]
    if not isinstance(dimension, Candidates):
        return KeptBackbones(space)
    left = [known for known in known_backbones() if known.backbone in dimension.choices]
    kept: list[KnownBackbone] = []
    missing: dict[str, WeightsError] = {}
    while left and len(kept) < KEPT:
        best = _next_after(kept, left)
        left.remove(best)
        may_download = len(missing) < MAX_FAILED_DOWNLOADS
        try:
            find_weights(
                best.backbone, config.weights, cache=config.cache_dir, may_download=may_download
            )
            kept.append(best)
        except WeightsError as error:
            missing[best.backbone] = error
    if not kept:
        raise next(iter(missing.values()))
    names = [known.backbone for known in kept]
    notes = [
        f'backbone = "auto" keeps {len(names)} of {counted(len(dimension.choices), "candidate")}: '
        f"{name_some(names, KEPT)}."
    ]
    if missing:
        notes.append(
            f"The weights of {counted(len(missing), 'other candidate')} can't be had "
            f"({name_some(list(missing))}). {next(iter(missing.values()))}"
        )
    return KeptBackbones(space.with_backbones(names), tuple(notes))


def _next_after(kept: Sequence[KnownBackbone], left: Sequence[KnownBackbone]) -> KnownBackbone:
    """The candidate that raises the expected best accuracy most, beside those that are kept.

    Accuracies are Gaussian around each promise; backbones of one architecture are correlated.
    """
    both = [*kept, *left]
    promise = np.array([known.promise for known in both])
    names = sorted({known.architecture for known in both})
    architecture = np.array([names.index(known.architecture) for known in both])
    rng = np.random.default_rng(0)
    shared = rng.normal(0, ARCHITECTURE_STD, (_DRAWS, len(names)))
    own = rng.normal(0, OWN_STD, (_DRAWS, len(both)))
    drawn = promise + shared[:, architecture] + own
    best = drawn[:, : len(kept)].max(axis=1, initial=-np.inf)
    expected = np.maximum(drawn[:, len(kept) :], best[:, None]).mean(axis=0)
    return left[int(np.argmax(expected))]
