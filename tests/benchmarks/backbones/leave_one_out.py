"""`LeaveOneOut`: regret of picks among backbones on image sets that are left out in turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pandas as pd

from tests.benchmarks.backbones.fine_tunes import FineTunes
from tests.benchmarks.backbones.prior import Constants, Effects, Prior, capped

GRID = [Constants(*each) for each in product((8, 15, 30), (0, 1, 2, 3), (1, 3, 10))]
"""Constants to choose from."""
PICKS = (5, 8)
"""Numbers of picks. Constants are chosen for the first."""
SIZE = 60
"""Backbones of a drawn family."""
PUBLISHED, WITH_IMAGENET = "published", "published, with ImageNet accuracy"
"""Names of families: all published backbones, and those whose ImageNet accuracy is known."""
DRAWN = tuple(f"drawn {number}" for number in range(12))
"""Names of drawn families."""
TUNED_ON = (PUBLISHED, *DRAWN[:2])
"""Families on which constants are chosen."""
RANDOM_REPEATS = 200
ONE_HOT, AT_ONCE, OURS = "in turn, no kernel (one-hot)", "ours, all at once", "ours, in turn"
RANDOM, MEAN_RANK, IMAGENET = "random", "mean rank on the other sets", "ImageNet accuracy"
FROM_IMAGENET = "in turn, means from ImageNet accuracy"

Picker = Callable[[int, np.ndarray, int], list[list[int]]]
"""Picks among some models for a set left out: (set, models, count) to positions in ``models``.

Of several lists the mean regret counts.
"""


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """Regret of picks on image sets that are left out in turn."""

    tunes: FineTunes
    imagenet: np.ndarray
    """``(m,)`` ImageNet accuracy of each model in percent, NaN where unknown."""

    @cache  # noqa: B019 - lives as long as the program
    def family(self, name: str, left_out: int) -> np.ndarray:
        """Models to pick from, of those with a record on the set left out."""
        known = np.flatnonzero(~np.isnan(self.tunes.accuracy[:, left_out]))
        if name in DRAWN:
            rng = np.random.default_rng((DRAWN.index(name), left_out))
            return rng.choice(known, min(SIZE, len(known)), replace=False)
        published = np.intersect1d(known, self.tunes.published)
        is_rated = ~np.isnan(self.imagenet[published])
        return published[is_rated] if name == WITH_IMAGENET else published

    def regrets(
        self, pick: Picker, count: int, families: Sequence[str], sets: Sequence[int]
    ) -> np.ndarray:
        """``(families, sets)`` points by which the best pick lies below the best of a family."""
        regrets = np.zeros((len(families), len(sets)))
        for (i, family), (j, left_out) in product(enumerate(families), enumerate(sets)):
            models = self.family(family, left_out)
            accuracy = self.tunes.accuracy[models, left_out]
            picks = pick(left_out, models, count)
            regrets[i, j] = accuracy.max() - np.mean([accuracy[each].max() for each in picks])
        return regrets

    @cache  # noqa: B019
    def _effects(self, left_out: frozenset[int], depth: float) -> Effects:
        sets = [s for s in range(len(self.tunes.sets)) if s not in left_out]
        return Effects.of(self._capped(depth)[:, sets])

    @cache  # noqa: B019
    def _capped(self, depth: float) -> np.ndarray:
        return capped(self.tunes.accuracy, depth)

    def prior(self, left_out: frozenset[int], constants: Constants) -> Prior:
        """What the sets that are not left out say about all models."""
        effects = self._effects(left_out, constants.depth)
        return effects.prior(self.tunes.architectures, constants)

    def in_turn(self, constants: Constants, *, besides: int | None = None) -> Picker:
        """Each pick is chosen given the accuracies of those before it.

        Nothing is known of the set ``besides`` either.
        """

        def pick(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            unknown = frozenset((left_out,) if besides is None else (left_out, besides))
            prior = self.prior(unknown, constants).of(models)
            return [prior.in_turn(self.tunes.accuracy[models, left_out], count)]

        return pick

    def best_constants(self, sets: Sequence[int], *, besides: int | None = None) -> Constants:
        """Constants of least mean regret on these sets, each of which is left out in turn."""
        means = [
            self.regrets(self.in_turn(each, besides=besides), PICKS[0], TUNED_ON, sets).mean()
            for each in GRID
        ]
        return GRID[int(np.argmin(means))]

    @cache  # noqa: B019
    def constants_for(self, left_out: int) -> Constants:
        """Constants that are best on the other sets. Nothing is known of the one left out."""
        others = [s for s in range(len(self.tunes.sets)) if s != left_out]
        return self.best_constants(others, besides=left_out)

    def own_prior(self, left_out: int) -> Prior:
        """The prior for a set left out, with the constants that the other sets chose."""
        return self.prior(frozenset((left_out,)), self.constants_for(left_out))

    def pickers(self) -> Mapping[str, Picker]:
        """Ways to pick, by name."""

        def at_random(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            rng = np.random.default_rng(left_out)
            return [rng.permutation(len(models))[:count].tolist() for _ in range(RANDOM_REPEATS)]

        def by_mean_rank(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            others = np.delete(self.tunes.accuracy, left_out, axis=1)[models]
            ranks = pd.DataFrame(others).rank(pct=True).mean(axis=1).fillna(0)
            return [np.argsort(-ranks.to_numpy(), kind="stable")[:count].tolist()]

        def by_imagenet(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            order = np.argsort(-np.nan_to_num(self.imagenet[models]), kind="stable")
            return [order[:count].tolist()]

        def without_kernel(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            constants = Constants(self.constants_for(left_out).depth, rank=0, kinship=0)
            return self.in_turn(constants)(left_out, models, count)

        def from_imagenet(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            own, rated = self.own_prior(left_out), ~np.isnan(self.imagenet)
            rated[np.setdiff1d(np.arange(len(rated)), self.tunes.published)] = False
            line = np.polyfit(self.imagenet[rated], own.mean[rated], deg=1)
            guess = np.where(rated, np.polyval(line, self.imagenet), own.mean[rated].mean())
            prior = replace(own, mean=guess).of(models)
            return [prior.in_turn(self.tunes.accuracy[models, left_out], count)]

        def at_once(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            return [self.own_prior(left_out).of(models).most_promising(count)]

        def ours(left_out: int, models: np.ndarray, count: int) -> list[list[int]]:
            return self.in_turn(self.constants_for(left_out))(left_out, models, count)

        return {
            RANDOM: at_random,
            IMAGENET: by_imagenet,
            MEAN_RANK: by_mean_rank,
            ONE_HOT: without_kernel,
            FROM_IMAGENET: from_imagenet,
            AT_ONCE: at_once,
            OURS: ours,
        }

    def correlations(self) -> dict[str, np.ndarray]:
        """Spearman's correlation with the accuracy on each set left out, by kind of score.

        Over the published backbones whose ImageNet accuracy is known. Our score is the mean of
        the prior, which knows no result on that set.
        """
        found: dict[str, list[float]] = {IMAGENET: [], "our score": []}
        for left_out in range(len(self.tunes.sets)):
            models = self.family(WITH_IMAGENET, left_out)
            truth = pd.Series(self.tunes.accuracy[models, left_out])
            scores = self.imagenet[models], self.own_prior(left_out).mean[models]
            for name, score in zip(found, scores, strict=True):
                found[name].append(float(truth.corr(pd.Series(score), method="spearman")))
        return {name: np.array(each) for name, each in found.items()}
