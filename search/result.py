"""`SweepResult`: what a sweep came to."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from search.record import FinalModel, Profile, SweepPaths


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to."""

    paths: SweepPaths
    trials: pd.DataFrame
    """One row a trial, the best first; the columns of ``trials.parquet``."""
    unfinished: int
    """Trials that Ctrl-C broke off or kept from starting."""
    unconfirmed: int = 0
    """Repeats of the best trials that it broke off or kept from starting."""
    ended_by: str | None = None
    """What ended the search for good before its trials did, if its budget or target did."""
    final: FinalModel | None = None
    """The retrained winner and its test; None without ``retrain``."""
    export: Path | None = None
    """The folder to hand over."""
    report: Path | None = None
    """The page of what was found; None where there is more to come."""
    profile: Profile | None = None
    """Where a launch's time went."""
