"""Sweeps that several test modules of `search` look at."""

import pytest

from search import SweepResult
from search.record import SweepPaths
from tests.support.finalizing import finalize_best_two


@pytest.fixture(scope="session")
def ensemble(sweep: SweepResult, tmp_path_factory: pytest.TempPathFactory) -> SweepPaths:
    """A copy of the sweep whose final model is the mean of its two best trials."""
    return finalize_best_two(sweep.paths, tmp_path_factory.mktemp("sweeps") / "ensemble")
