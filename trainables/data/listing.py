"""`Listing`: paths, labels and splits of a data source's images, before any is opened."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spaces import DataError
from trainables.progress import Progress

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

_SPLIT_SPELLINGS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""Accepted names of splits, in lower case."""


@dataclass(frozen=True)
class Row:
    """Path and label of one image. ``split`` is None if the source does not give a split."""

    path: Path
    label: str
    split: SplitName | None = None


@dataclass(frozen=True)
class Listing:
    """List of a data source's images. None of them has been opened yet."""

    root: Path
    """Folder that the dataset's paths are relative to."""
    kind: str
    """Layout of the source in words, such as "a folder per class"."""
    rows: tuple[Row, ...]
    ignored: dict[str, int] = field(default_factory=dict)
    """Number of skipped files and folders, by reason."""
    notes: tuple[str, ...] = ()
    """Ambiguities in the source, and how each was resolved."""


class DataSource(ABC):
    """Labelled images in a folder, a table, a Hugging Face dataset or an object store."""

    @abstractmethod
    def check(self) -> None:
        """Check the source quickly, without listing all of its images.

        Raises `DataError`.
        """

    @abstractmethod
    def read(self, eval_is: Literal["val", "test"], progress: Progress) -> Listing:
        """List all images without opening them. A split called "eval" becomes ``eval_is``.

        Raises `DataError`.
        """


def split_name(spelling: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    """Split for a folder's name or a table's value; None if it names no split."""
    name = spelling.strip().lower()
    return eval_is if name == "eval" else _SPLIT_SPELLINGS.get(name)


def single_class_error(name: str) -> DataError:
    """Error for a dataset whose images all have the same label."""
    return DataError(f"Only one class was found ({name}); a classifier needs two or more.")


def eval_note(eval_is: str) -> str:
    """Note on how a split called "eval" was read, and the flag that changes it."""
    other = "test" if eval_is == "val" else "val"
    return f'"eval" was read as {eval_is}; --split.eval-is {other} reads it as {other}.'


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key that orders numbers in names by value: "2" before "10".

    The name itself comes last in the key, so that "1" and "01" do not tie. Sorting a set leaves
    ties in the set's order, which differs between processes (Python's string hashing is random).
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), name
