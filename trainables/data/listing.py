"""`Listing`: the labelled images that a data source names, before any is opened."""

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
"""Names that folders and tables give to the splits, in lower case."""


@dataclass(frozen=True)
class Row:
    """One listed image: its path, its label, and the split it was given to (if any)."""

    path: Path
    label: str
    split: SplitName | None = None


@dataclass(frozen=True)
class Listing:
    """Contents of a data source; no image has been opened yet."""

    root: Path
    """Folder that the dataset's paths are relative to."""
    kind: str
    """Layout in words: "a folder per class", "train/val/test folders", "a table", ..."""
    rows: tuple[Row, ...]
    ignored: dict[str, int] = field(default_factory=dict)
    """Number of files passed over, by reason."""
    notes: tuple[str, ...] = ()
    """Ambiguities, and how each was resolved."""


class DataSource(ABC):
    """A place that lists labelled images: a folder, a table, a library's dataset, a bucket."""

    @abstractmethod
    def check(self) -> None:
        """Validate what can be seen at a glance, without listing all images.

        Raises `DataError`.
        """

    @abstractmethod
    def read(self, eval_is: Literal["val", "test"], progress: Progress) -> Listing:
        """List all images, without opening them; a split called "eval" becomes ``eval_is``.

        Raises `DataError`.
        """


def split_name(spelling: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    """Split that the name of a folder or a table's value stands for; None if for none."""
    name = spelling.strip().lower()
    return eval_is if name == "eval" else _SPLIT_SPELLINGS.get(name)


def single_class_error(name: str) -> DataError:
    """Error for images that all have one label."""
    return DataError(f"Only one class was found ({name}); a classifier needs two or more.")


def eval_note(eval_is: str) -> str:
    """Note on how a split called "eval" was read, and the flag that changes it."""
    other = "test" if eval_is == "val" else "val"
    return f'"eval" was read as {eval_is}; --split.eval-is {other} reads it as {other}.'


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key that orders numbers in names by value: "2" before "10".

    The name itself comes last in the key, so that "1" and "01" do not tie. With a tie, the order of
    a set of names would depend on Python's string hashing, which differs between processes.
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), name
