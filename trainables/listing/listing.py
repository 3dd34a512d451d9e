"""`Listing`: paths, labels and splits of a data source's images, before any is opened."""

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spaces import DataError
from trainables.progress import Progress

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class ReadOptions:
    """The user's answers to questions that a source leaves open.

    A field that is unset lets the source decide, if it can be read in one way only.
    """

    layout: str | None = None
    """Name of the layout of a folder."""
    ignore: tuple[str, ...] = ()
    """Glob patterns, relative to the source's folder, of files and folders to leave out."""
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    """Column whose equal values name images that must stay in one split."""
    image_root: Path | None = None
    """Folder that a table's paths start at; by default the table's own folder."""
    group_by: str | None = None
    """Regular expression over an image's relative path. Images with the same match (its first
    group, if it has one) must stay in one split."""
    merge_labels: bool = False
    """Merge labels that differ in case, spaces, invisible characters, accents' encoding or leading
    zeros only."""
    eval_is: Literal["val", "test"] = "val"
    """Meaning of a split that the source calls "eval", and of a table's rows that are not
    "is_train"."""


@dataclass(frozen=True)
class Unused:
    """Files, folders, rows or columns of a source that are not used, for one reason."""

    reason: str
    """What they are and why they are not used, such as "files that are not images (.txt)"."""
    count: int
    example: str
    """Path of one of them, relative to the source's folder, or the name of a column."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.count}, such as {self.example}"


@dataclass(frozen=True, slots=True)
class Row:
    """Path and label of one image. ``split`` and ``group`` are None if the source gives none."""

    path: Path
    label: str
    split: SplitName | None = None
    group: str | None = None
    """Images with the same group must stay in one split."""


@dataclass(frozen=True)
class Listing:
    """List of a data source's images. None of them has been opened yet."""

    root: Path
    """Folder that the dataset's paths are relative to."""
    kind: str
    """Layout of the source in words, such as "a folder per class"."""
    rows: tuple[Row, ...]
    unused: tuple[Unused, ...] = ()
    """Everything in the source that is not used."""
    notes: tuple[str, ...] = ()
    """Ambiguities in the source, and how each was resolved."""


class DataSource(ABC):
    """Labelled images in a folder, table, archives, Hugging Face dataset or object store."""

    @abstractmethod
    def check(self, options: ReadOptions) -> Listing | None:
        """Find mistakes in the source without copying or extracting images.

        Returns the list of all images, or None if that takes copying or extracting them. Raises
        `DataError`.
        """

    @abstractmethod
    def read(self, options: ReadOptions, progress: Progress) -> Listing:
        """List all images without opening them.

        Raises `DataError`.
        """


def single_class_error(name: str) -> DataError:
    """Error for a dataset whose images all have the same label."""
    return DataError(f"Only one class was found ({name}); a classifier needs two or more.")


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sort key that orders numbers in names by value: "2" before "10".

    The name itself comes last in the key, so that "1" and "01" do not tie. Sorting a set leaves
    ties in the set's order, which differs between processes (Python's string hashing is random).
    """
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), name


def relative_path(path: Path, root: Path) -> str:
    """Path below ``root`` if it lies there, else the whole path."""
    return str(path).removeprefix(os.path.join(root, ""))  # noqa: PTH118 - much quicker
