"""What earlier sweeps found, as first points of another one."""

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from search.checks import load_config
from search.leaderboard import trial_table
from search.paths import SweepPaths
from search.study import read_trials
from spaces import SearchSpace, TrialParams

EACH = 3
"""Points of each earlier sweep."""


def prior_points(
    sweeps: Sequence[Path],
    space: SearchSpace,
    *,
    results_dir: Path,
    native_image_size: Mapping[str, int],
) -> list[TrialParams]:
    """The best points of earlier sweeps that a space has room for: each one's best, then the next.

    Raises `ConfigError` if there is no such sweep.
    """
    lists = []
    for sweep in sweeps:
        paths = SweepPaths.existing(sweep, results_dir)
        trials = read_trials(paths.journal)
        params = {trial.trial_id: trial.params for trial in trials}
        table = trial_table(trials, load_config(paths).metric)
        sound = table[table["status"] != "failed"] if len(table) else table
        best = [params[i] for i in sound["trial_id"]] if len(sound) else []
        moved = [space.nearest(point, native_image_size=native_image_size) for point in best]
        lists.append(list(dict.fromkeys(point for point in moved if point))[:EACH])
    return list(dict.fromkeys(point for point in chain(*zip_longest(*lists)) if point))
