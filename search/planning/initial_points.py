"""What a sweep tries first: points that were given, of a grid, of earlier sweeps, of recipes."""

import random
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from search.config import SweepConfig
from search.ranking import trial_table
from search.record import SweepPaths, TrialRecord, load_config, read_trials
from spaces import ConfigError, SearchSpace, TrialParams

EACH = 3
"""Points of each earlier sweep."""


def first_points(
    config: SweepConfig,
    space: SearchSpace,
    given: Sequence[Mapping[str, object]],
    native: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """The ``given`` points, and what the settings say follows them. Raises `UserError`.

    ``native`` has each backbone's own input side in pixels.
    """
    points = points_to_go_on(config, space, given, native)
    if config.sampler == "grid":
        return points
    first = prior_points(config.prior, space, native, results_dir=config.results_dir)
    first += space.starts(native_image_size=native) if config.starts else []
    new = [point for point in dict.fromkeys(first) if point not in points]
    return points + tuple(new[: (config.trials - len(points)) // 2])


def points_to_go_on(
    config: SweepConfig,
    space: SearchSpace,
    given: Sequence[Mapping[str, object]],
    native: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """The ``given`` points, at most one a trial; with the sampler "grid" a point for every trial.

    Raises `UserError`.
    """
    points = tuple(space.params(p, native_image_size=native) for p in given[: config.trials])
    if config.sampler != "grid":
        return points
    return points + _rest_of_grid(space, points, config, native)


def _rest_of_grid(
    space: SearchSpace,
    given: tuple[TrialParams, ...],
    config: SweepConfig,
    native: Mapping[str, int],
) -> tuple[TrialParams, ...]:
    """Points of the grid that are not ``given``, in an order of the seed's, for every trial."""
    grid = [space.params(point, native_image_size=native) for point in space.grid()]
    random.Random(config.seed).shuffle(grid)
    rest = [point for point in grid if point not in given]
    missing = config.trials - len(given)
    if missing > len(rest):
        raise ConfigError(
            f"The grid of the space {space.name!r} has {len(grid)} points, which with those of "
            f"the points file make {len(given) + len(rest)} trials, not {config.trials}; "
            f"set trials to {len(given) + len(rest)} or fewer."
        )
    return tuple(rest[:missing])


def prior_points(
    sweeps: Sequence[Path], space: SearchSpace, native: Mapping[str, int], *, results_dir: Path
) -> list[TrialParams]:
    """The best points of earlier sweeps that a space has room for: each one's best, then the next.

    Raises `ConfigError` if there is no such sweep.
    """
    earlier = []
    for sweep in sweeps:
        paths = SweepPaths.existing(sweep, results_dir)
        trials, metric = read_trials(paths.journal), load_config(paths).metric
        earlier.append(best_points(trials, metric, space, native))
    return in_turn(earlier)


def best_points(
    trials: Sequence[TrialRecord], metric: str, space: SearchSpace, native: Mapping[str, int]
) -> list[TrialParams]:
    """The best few of a sweep, each as near as a space has room for it."""
    params = {trial.trial_id: trial.params for trial in trials}
    table = trial_table(trials, metric)
    sound = table[table["status"] != "failed"] if len(table) else table
    best = [params[i] for i in sound["trial_id"]] if len(sound) else []
    moved = [space.nearest(point, native_image_size=native) for point in best]
    return list(dict.fromkeys(point for point in moved if point))[:EACH]


def in_turn(lists: Sequence[Sequence[TrialParams]]) -> list[TrialParams]:
    """The first of each, then the second of each, and none twice."""
    return list(dict.fromkeys(point for point in chain(*zip_longest(*lists)) if point))
