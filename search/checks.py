"""What can be told of a launch's settings in a moment, before torch and Ray are there."""

from search.config import SweepConfig
from search.paths import SweepPaths
from spaces import ConfigError, SearchSpace
from trainables.sources import check_source


def check_at_once(config: SweepConfig) -> None:
    """Look for the data, the space, the points, and a sweep of that name. Raises `UserError`."""
    if SweepPaths(config.results_dir / config.name).root.exists():
        raise ConfigError(
            f"The sweep {config.name!r} exists in {config.results_dir}; choose another --name, or "
            "see it with 'finesweep compare'."
        )
    check_source(config.data)
    SearchSpace.load(config.space)
    config.read_points()
