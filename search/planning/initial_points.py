"""Initial points of a sweep: given points, a grid, the best of earlier sweeps, starting points."""

import logging
import random
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from search.config import SweepConfig
from search.ranking import trial_table
from search.record import SweepPaths, TrialRecord, load_sweep_config, read_trials
from spaces import ConfigError, SearchSpace, TrialParams, grid_points

_log = logging.getLogger("finesweep")

POINTS_PER_SWEEP = 3
"""Largest number of points taken from each earlier sweep."""


def choose_initial_points(
    config: SweepConfig,
    space: SearchSpace,
    given: Sequence[Mapping[str, object]],
    native_sizes: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """Initial points of a new sweep, in the order in which they are tried.

    The one exception: points that differ only in backbone and image size are tried in the order of
    their linear probes, as far as those have ended.

    The ``given`` points, those of the points file, come first. With the sampler "grid", the rest of
    the grid follows. With other samplers, the best points of earlier sweeps and the starting points
    of the space follow, and together get at most half of the remaining trials. Linear probes are
    left out if weights are untrained: random features say nothing about a backbone, and are so
    alike that rounding would change the probe's answers. ``native_sizes`` has each backbone's
    native input side in pixels.

    Raises `UserError`.
    """
    points = recorded_initial_points(config, space, given, native_sizes)
    if config.sampler == "grid":
        return points
    added = prior_points(config.prior, space, native_sizes, results_dir=config.results_dir)
    starts = space.initial_points(native_image_size=native_sizes) if config.starts else []
    added += [point for point in starts if point.head == "trained" or config.weights != "untrained"]
    new = [point for point in dict.fromkeys(added) if point not in points]
    return points + tuple(new[: (config.trials - len(points)) // 2])


def recorded_initial_points(
    config: SweepConfig,
    space: SearchSpace,
    given: Sequence[Mapping[str, object]],
    native_sizes: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """The ``given`` points alone, one per trial at most.

    Points of earlier sweeps and starting points are not added. With the sampler "grid", points of
    the grid follow until every trial has a point. Raises `UserError`.
    """
    points = tuple(space.params(p, native_image_size=native_sizes) for p in given[: config.trials])
    if config.sampler != "grid":
        return points
    return points + _rest_of_grid(space, points, config, native_sizes)


def _rest_of_grid(
    space: SearchSpace,
    given: tuple[TrialParams, ...],
    config: SweepConfig,
    native_sizes: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """Points of the grid that are not ``given``, in random order, one for each remaining trial.

    Raises `ConfigError` if the grid has too few points.
    """
    grid = [space.params(point, native_image_size=native_sizes) for point in grid_points(space)]
    random.Random(config.seed).shuffle(grid)
    rest = [point for point in grid if point not in given]
    missing = config.trials - len(given)
    if missing > len(rest):
        raise ConfigError(
            f"The grid of the space {space.name!r} has {len(grid)} points. Together with the "
            f"points file that is enough for {len(given) + len(rest)} trials, not "
            f"{config.trials}; set trials to {len(given) + len(rest)} or fewer."
        )
    return tuple(rest[:missing])


def prior_points(
    sweeps: Sequence[Path],
    space: SearchSpace,
    native_sizes: Mapping[str, int],
    *,
    results_dir: Path,
) -> list[TrialParams]:
    """The best points of earlier sweeps: the best of each, then the second best of each, ...

    Raises `ConfigError` if one of the sweeps does not exist.
    """
    best_of_each = []
    for sweep in sweeps:
        paths = SweepPaths.existing(sweep, results_dir)
        trials, metric = read_trials(paths.journal), load_sweep_config(paths).metric
        best_of_each.append(best_points(trials, metric, space, native_sizes))
        if not best_of_each[-1]:
            _log.warning("the prior sweep %s has no point with a backbone of this space", sweep)
    return interleave(best_of_each)


def best_points(
    trials: Sequence[TrialRecord], metric: str, space: SearchSpace, native_sizes: Mapping[str, int]
) -> list[TrialParams]:
    """The `POINTS_PER_SWEEP` best points of a sweep, each replaced by the nearest in ``space``.

    Failed trials and those without a score are left out, and so are points whose backbone is not in
    ``space``.
    """
    params = {trial.trial_id: trial.params for trial in trials}
    table = trial_table(trials, metric)
    if len(table):
        table = table[(table["status"] != "failed") & table[metric].notna()]
    best = [params[i] for i in table["trial_id"]] if len(table) else []
    nearest = [space.nearest(point, native_image_size=native_sizes) for point in best]
    return list(dict.fromkeys(point for point in nearest if point))[:POINTS_PER_SWEEP]


def interleave(lists: Sequence[Sequence[TrialParams]]) -> list[TrialParams]:
    """The first point of each list, then the second of each, ..., without duplicates."""
    return list(dict.fromkeys(point for point in chain(*zip_longest(*lists)) if point))
