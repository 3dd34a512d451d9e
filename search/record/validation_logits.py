"""Validation logits of the best trials, in files on the driver's machine.

Ensemble selection and temperature scaling use them. A file holds the logits of its trial's best
round so far, with the class of each column and the hash of each row's image.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from search.record.trials import TrialRecord, trial_name
from trainables.data import Dataset
from trainables.evaluation import scores_of
from trainables.files import write_atomically
from trainables.training import RoundReport, merit

MAX_KEPT_TRIALS = 16
"""Number of best trials whose logits are kept. The logits of all trials could fill a disk."""
_ACCURACY_TOLERANCE = 0.01
"""Largest accepted difference between a round's accuracy and the accuracy of its stored logits,
which are float16."""


class ValidationLogitsStore:
    """Keeps the validation logits of the best trials, one file each.

    Args:
        folder: Folder of the files; created if it is missing.
        metric: Name of the metric that trials are ranked by.
        records: Trials that may have a file already, from an earlier run of the sweep.
        classes: Name of the class of each column.
        digests: Hash of the image of each row, as in `Dataset`.
        max_trials: Largest number of trials that have a file.
    """

    def __init__(
        self,
        folder: Path,
        metric: str,
        records: Sequence[TrialRecord],
        *,
        classes: Sequence[str],
        digests: Sequence[str],
        max_trials: int = MAX_KEPT_TRIALS,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._metric, self._max_trials = folder, metric, max_trials
        self._classes = np.array(classes)
        self._digests = np.array(digests)
        self._merits: dict[int, tuple[float, float]] = {}
        """Sort key (`merit`) of the best round of each trial that has a file, by trial number."""
        for record in records:
            best = record.best(metric)
            if best is not None and _existing_file(folder, record.number):
                self._merits[record.number] = merit(best, metric)

    def keep(self, number: int, report: RoundReport, logits: np.ndarray) -> None:
        """Keep the ``(n, classes)`` logits of a trial's best round so far.

        If more than ``max_trials`` trials then have a file, the file of the worst trial is deleted.
        If several are equally bad, the one with the lowest number counts as worst.
        """
        self._merits[number] = merit(report, self._metric)
        worst = min(self._merits, key=lambda other: (self._merits[other], other))
        if len(self._merits) > self._max_trials:
            del self._merits[worst]
            self._remove(worst)
        if number in self._merits:
            write_atomically(_file(self._folder, number), lambda file: self._save(logits, file))
            _unnamed_file(self._folder, number).unlink(missing_ok=True)

    def _save(self, logits: np.ndarray, file: Path) -> None:
        with file.open("wb") as opened:  # NumPy appends ".npz" to a name, but not to an open file
            np.savez(opened, logits=logits, classes=self._classes, digests=self._digests)

    def _remove(self, number: int) -> None:
        for file in (_file(self._folder, number), _unnamed_file(self._folder, number)):
            file.unlink(missing_ok=True)


def read_validation_logits(
    folder: Path,
    trials: Sequence[TrialRecord],
    metric: str,
    dataset: Dataset,
    validation_rows: np.ndarray,
) -> Mapping[int, np.ndarray]:
    """Validation logits by trial number, ``(n, classes)`` float32 each.

    Rows are those of the dataset at ``validation_rows``, ``(n,)`` int64, and columns are in the
    order of its classes. Repeats and failed trials are left out. A trial is also left out if the
    accuracy of its stored logits is not that of its best round: a driver that was killed may have
    recorded a better round without writing the logits.
    """
    labels = dataset.labels[validation_rows]
    logits_by_trial: dict[int, np.ndarray] = {}
    for trial in trials:
        file, best = _existing_file(folder, trial.number), trial.best(metric)
        if trial.repeat is None and trial.status != "failed" and best and file:
            logits = _read_aligned(file, dataset, validation_rows)
            if logits is None:
                continue
            difference = abs(scores_of(logits, labels).accuracy - best.val_accuracy)
            if difference < _ACCURACY_TOLERANCE:
                logits_by_trial[trial.number] = logits
    return logits_by_trial


def _read_aligned(file: Path, dataset: Dataset, validation_rows: np.ndarray) -> np.ndarray | None:
    """Logits in the dataset's order; None if the file lacks an image or a class of the dataset.

    A file in the earlier format holds neither hashes nor class names: only its shape is checked.
    """
    digests = dataset.digests_at(validation_rows)
    if file.suffix == ".npy":  # earlier format: logits alone, in the dataset's order
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


def _existing_file(folder: Path, number: int) -> Path | None:
    files = (_file(folder, number), _unnamed_file(folder, number))
    return next((file for file in files if file.exists()), None)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{trial_name(number)}.npz"


def _unnamed_file(folder: Path, number: int) -> Path:
    """File in the earlier format, without class names and image hashes."""
    return folder / f"{trial_name(number)}.npy"
