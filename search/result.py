"""`SweepResult`: the outcome of a sweep."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from search.record import FinalModel, Profile, SweepPaths


@dataclass(frozen=True)
class SweepResult:
    """Outcome of a launch, a resume or a retraining."""

    paths: SweepPaths
    """Paths of the sweep's files."""
    trials: pd.DataFrame
    """Table of one row per trial, the best first, with the columns of ``trials.parquet``."""
    unfinished: int
    """Number of trials that an interruption stopped or kept from starting."""
    unconfirmed: int = 0
    """Number of repeats of the best trials that an interruption stopped or kept from starting."""
    ended_by: str | None = None
    """Budget or target that ended the search before all trials had run; None if none did."""
    final: FinalModel | None = None
    """The retrained model and its test result; None if the sweep is unfinished, or if the setting
    ``retrain`` is off."""
    export: Path | None = None
    """Folder of the exported model; None if ``final`` is None."""
    report: Path | None = None
    """The HTML report; None while trials or repeats are unfinished."""
    profile: Profile | None = None
    """Wall time by stage; None after a retraining."""
