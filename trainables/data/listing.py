"""`Listing`: labelled images as a source names them, before any is opened."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spaces import DataError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")

# Folder and table names of the splits, in the spellings people use.
_SPELLINGS: dict[str, SplitName] = {
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


@dataclass(frozen=True)
class Row:
    """One listed image: where it is, what it shows, which split it was given to (if any)."""

    path: Path
    label: str
    split: SplitName | None = None


@dataclass(frozen=True)
class Listing:
    """What a source holds, before any image is opened."""

    root: Path
    kind: str
    """In words: "a folder per class", "train/val/test folders", "a table", ..."""
    rows: tuple[Row, ...]
    ignored: dict[str, int] = field(default_factory=dict)
    """How many files were passed over, by reason."""
    notes: tuple[str, ...] = ()
    """What was read one way and could have been meant another."""


def split_name(spelling: str, eval_is: Literal["val", "test"]) -> SplitName | None:
    """The split that a folder or table value means, or None if it means none."""
    name = spelling.strip().lower()
    return eval_is if name == "eval" else _SPELLINGS.get(name)


def only_one_class(name: str) -> DataError:
    """What to tell a user whose images all show one thing."""
    return DataError(f"Only one class was found ({name}); a classifier needs two or more.")


def eval_note(eval_is: str) -> str:
    """What to tell a user whose split is called "eval"."""
    other = "test" if eval_is == "val" else "val"
    return f'"eval" was read as {eval_is}; --split.eval-is {other} reads it as {other}.'


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key that puts "2" before "10". The name itself ends it, so that "1" and "01" don't tie.

    A tie would leave the order of a set of names to Python's hashing, which differs from one
    process to the next.
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), name
