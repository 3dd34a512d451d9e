"""What the best trials answered to the validation images, as files at home.

Ensembles are chosen by it, and temperatures fitted. Each is of its trial's best epoch so far.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from search.study import TrialRecord, trial_name
from trainables.evaluate import scores_of
from trainables.files import write_whole
from trainables.report import EpochReport, merit

KEPT = 16
"""Trials whose answers are kept; those of all would fill a disk."""


class ValidationAnswers:
    """Keeps the answers of the best trials."""

    def __init__(
        self, folder: Path, metric: str, records: Sequence[TrialRecord], *, kept: int = KEPT
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._metric, self._kept = folder, metric, kept
        self._merits: dict[int, tuple[float, float]] = {}
        """Of the trials that have a file."""
        for record in records:
            best = record.best(metric)
            if best is not None and self._file(record.number).exists():
                self._merits[record.number] = merit(best, metric)

    def keep(self, number: int, report: EpochReport, logits: np.ndarray) -> None:
        """Keep the ``(n, classes)`` logits of a trial's best epoch so far, if few are better."""
        self._merits[number] = merit(report, self._metric)
        worst = min(self._merits, key=lambda other: (self._merits[other], other))
        if len(self._merits) > self._kept:
            del self._merits[worst]
            self._file(worst).unlink(missing_ok=True)
        if number in self._merits:
            write_whole(self._file(number), lambda partial: _save(logits, partial))

    def _file(self, number: int) -> Path:
        return _file(self._folder, number)


def read_answers(
    folder: Path, trials: Sequence[TrialRecord], metric: str, labels: np.ndarray
) -> Mapping[int, np.ndarray]:
    """By a trial's number, its ``(n, classes)`` float32 logits to the validation images.

    Left out are those that aren't of its best epoch: a driver was killed between two files.
    """
    known: dict[int, np.ndarray] = {}
    for trial in trials:
        file, best = _file(folder, trial.number), trial.best(metric)
        if trial.repeat is None and trial.status != "failed" and best and file.exists():
            logits = np.load(file).astype(np.float32)
            fits = len(logits) == len(labels)
            if fits and abs(scores_of(logits, labels).accuracy - best.val_accuracy) < _ROUNDING:
                known[trial.number] = logits
    return known


_ROUNDING = 0.01
"""In accuracy, of logits kept as float16."""


def _file(folder: Path, number: int) -> Path:
    return folder / f"{trial_name(number)}.npy"


def _save(logits: np.ndarray, file: Path) -> None:
    with file.open("wb") as opened:  # given a name, NumPy adds an ending
        np.save(opened, logits)
