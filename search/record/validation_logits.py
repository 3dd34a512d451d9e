"""Validation logits of the best trials, as files on the driver's machine.

Ensembles are chosen by them, and temperatures fitted. Each file is of its trial's best epoch so
far, and says which class each column and which image each row belongs to.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from search.record.trials import TrialRecord, trial_name
from trainables.data import Dataset, SplitName
from trainables.evaluation import scores_of
from trainables.files import write_whole
from trainables.training import EpochReport, merit

KEPT = 16
"""Trials whose logits are kept; those of all would fill a disk."""


class ValidationAnswers:
    """Keeps the validation logits of the best trials.

    Args:
        folder: Where the files lie; it is made.
        metric: Which trials are the best.
        records: Trials that may have left a file already.
        classes: The class of each column.
        digests: The hash of each row's image, as in `Dataset`.
        kept: How many trials' logits are kept.
    """

    def __init__(
        self,
        folder: Path,
        metric: str,
        records: Sequence[TrialRecord],
        *,
        classes: Sequence[str],
        digests: Sequence[str],
        kept: int = KEPT,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._metric, self._kept = folder, metric, kept
        self._classes = np.array(classes)
        self._digests = np.array(digests)
        self._merits: dict[int, tuple[float, float]] = {}
        """Of the trials that have a file."""
        for record in records:
            best = record.best(metric)
            if best is not None and _found(folder, record.number):
                self._merits[record.number] = merit(best, metric)

    def keep(self, number: int, report: EpochReport, logits: np.ndarray) -> None:
        """Keep the ``(n, classes)`` logits of a trial's best epoch so far, if few are better."""
        self._merits[number] = merit(report, self._metric)
        worst = min(self._merits, key=lambda other: (self._merits[other], other))
        if len(self._merits) > self._kept:
            del self._merits[worst]
            self._remove(worst)
        if number in self._merits:
            write_whole(_file(self._folder, number), lambda partial: self._save(logits, partial))
            _positional(self._folder, number).unlink(missing_ok=True)

    def _save(self, logits: np.ndarray, file: Path) -> None:
        with file.open("wb") as opened:  # given a name, NumPy adds an ending
            np.savez(opened, logits=logits, classes=self._classes, digests=self._digests)

    def _remove(self, number: int) -> None:
        for file in (_file(self._folder, number), _positional(self._folder, number)):
            file.unlink(missing_ok=True)


def read_answers(
    folder: Path,
    trials: Sequence[TrialRecord],
    metric: str,
    dataset: Dataset,
    validated: Sequence[SplitName],
) -> Mapping[int, np.ndarray]:
    """Validation logits by trial number, ``(n, classes)`` float32 each.

    Rows are in the order of the dataset's images in the ``validated`` splits, columns in that of
    its classes. Trials are left out whose file is not of their best epoch, as when a driver was
    killed between two files.
    """
    labels = dataset.labels[dataset.rows(*validated)]
    known: dict[int, np.ndarray] = {}
    for trial in trials:
        file, best = _found(folder, trial.number), trial.best(metric)
        if trial.repeat is None and trial.status != "failed" and best and file:
            logits = _aligned(file, dataset, validated)
            if logits is None:
                continue
            if abs(scores_of(logits, labels).accuracy - best.val_accuracy) < _ROUNDING:
                known[trial.number] = logits
    return known


_ROUNDING = 0.01
"""In accuracy, of logits kept as float16."""


def _aligned(file: Path, dataset: Dataset, validated: Sequence[SplitName]) -> np.ndarray | None:
    """The logits in the dataset's order; None if they are of other images or classes."""
    digests = dataset.digests_of(*validated)
    if file.suffix == ".npy":  # of a version that recorded no names
        logits = np.asarray(np.load(file), dtype=np.float32)
        return logits if logits.shape == (len(digests), len(dataset.classes)) else None
    with np.load(file) as stored:
        rows = {digest: row for row, digest in enumerate(stored["digests"].tolist())}
        columns = {name: column for column, name in enumerate(stored["classes"].tolist())}
        if not (rows.keys() >= set(digests) and columns.keys() >= set(dataset.classes)):
            return None
        logits = np.asarray(stored["logits"], dtype=np.float32)
    ordered = logits[[rows[digest] for digest in digests]]
    return ordered[:, [columns[name] for name in dataset.classes]]


def _found(folder: Path, number: int) -> Path | None:
    files = (_file(folder, number), _positional(folder, number))
    return next((file for file in files if file.exists()), None)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{trial_name(number)}.npz"


def _positional(folder: Path, number: int) -> Path:
    """Where earlier versions kept a trial's logits, without names of rows and columns."""
    return folder / f"{trial_name(number)}.npy"
