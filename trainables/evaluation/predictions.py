"""`Predictions`: a model's probabilities for labelled images, with columns named by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from trainables.files import write_atomically

_PREFIX = "p."
"""Start of the names of columns with probabilities; the name of the class follows."""


def probability_columns(probabilities: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns ``p.<class>`` of a table, from ``(n, classes)`` probabilities."""
    return {f"{_PREFIX}{name}": probabilities[:, k] for k, name in enumerate(classes)}


@dataclass(frozen=True)
class Predictions:
    """A model's probabilities for labelled images: the table ``predictions.parquet``."""

    classes: tuple[str, ...]
    labels: np.ndarray
    """``(n,)`` class numbers."""
    probabilities: np.ndarray
    """``(n, classes)``, with columns in the order of ``classes``."""

    @property
    def predicted(self) -> np.ndarray:
        """``(n,)`` class numbers of the largest probabilities."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def correct(self) -> np.ndarray:
        """``(n,)`` bool: whether the predicted class is the label."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confusion(self) -> np.ndarray:
        """``(classes, classes)`` numbers of images; true classes in rows, predicted in columns."""
        k = len(self.classes)
        counts = np.bincount(self.labels * k + self.predicted, minlength=k * k)
        return counts.reshape(k, k)

    def write(self, file: Path, paths: Sequence[str]) -> None:
        """Write a Parquet table with columns ``path``, ``label``, ``predicted``, ``p.<class>``."""
        import pandas as pd  # slow to import, and needed only for tables

        names = np.array(self.classes)
        columns = {"path": list(paths), "label": names[self.labels]}
        columns |= {"predicted": names[self.predicted]}
        columns |= probability_columns(self.probabilities, self.classes)
        table = pd.DataFrame(columns)
        write_atomically(file, lambda partial: table.to_parquet(partial, index=False))

    @classmethod
    def read(cls, file: Path, classes: Sequence[str]) -> Self:
        """Read a table that `write` made; classes are numbered in the order of ``classes``.

        Raises `KeyError` if a class has no column, or if a label is not among ``classes``.
        """
        import pandas as pd

        table = pd.read_parquet(file)
        number = {name: k for k, name in enumerate(classes)}
        labels = np.array([number[name] for name in table["label"]], dtype=np.int64)
        columns = [f"{_PREFIX}{name}" for name in classes]
        return cls(tuple(classes), labels, table[columns].to_numpy(dtype=float))
