"""`SweepResult`: the outcome of a sweep."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from search.record import FinalModel, Profile, SweepPaths


@dataclass(frozen=True)
class SweepResult:
    """Outcome of a launch, a resume or a retraining."""

    paths: SweepPaths
    """Where the sweep's files are."""
    trials: pd.DataFrame
    """One row per trial, the best first; the columns of ``trials.parquet``."""
    unfinished: int
    """Number of trials that an interrupt stopped or kept from starting."""
    unconfirmed: int = 0
    """Number of repeats of the best trials that an interrupt stopped or kept from starting."""
    ended_by: str | None = None
    """The budget or target that ended the search for good before all trials ran, if one did."""
    final: FinalModel | None = None
    """The retrained model and its test result; None without ``retrain``."""
    export: Path | None = None
    """Folder of the exported model."""
    report: Path | None = None
    """The HTML report; None as long as trials or repeats are still to be run."""
    profile: Profile | None = None
    """Wall time by stage; None after a retraining."""
