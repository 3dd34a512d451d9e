"""`Dataset`: the images of a sweep, with their labels and splits."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from trainables.files import write_atomically, write_json
from trainables.listing import SPLITS, SplitName


@dataclass(frozen=True)
class Dataset:
    """Manifest of a sweep's images, in a fixed order. Never opens an image file.

    ``paths`` below ``root`` are relative to it; all others are absolute.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: np.ndarray
    """Class of each image as an index into ``classes``, ``(n,)`` int64."""
    splits: np.ndarray
    """Split of each image, ``(n,)`` str: "train", "val" or "test"."""
    digests: tuple[str, ...]
    """Hash of each image file's bytes."""
    fingerprint: str
    """Hash of every image's bytes, label and split."""
    units: tuple[str, ...] = ()
    """Unit of each image: images of one unit, such as near copies or a patient's images, must be in
    one fold. Without units the digests are taken, which keep exact copies together."""
    val_is_drawn: bool = False
    """Whether the validation images were drawn at random, all others of that draw being training
    images; False if the data source gave them."""

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, *splits: SplitName) -> np.ndarray:
        """Indices of the images in these splits, ascending, ``(m,)`` int64."""
        return np.flatnonzero(np.isin(self.splits, splits))

    def digests_at(self, rows: np.ndarray) -> list[str]:
        """Digests of the images at ``rows``, ``(m,)`` int64."""
        return [self.digests[row] for row in rows]

    def units_at(self, rows: np.ndarray) -> list[str]:
        """Units of the images at ``rows``, ``(m,)`` int64."""
        units = self.units or self.digests
        return [units[row] for row in rows]

    def file(self, row: int) -> Path:
        """Path of image ``row``."""
        return self.root / self.paths[row]

    def part(self, split: SplitName) -> "Dataset":
        """The images of one split as a dataset of its own, in their order, with all classes.

        Its fingerprint is that of the whole.
        """
        rows = self.rows(split)
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            labels=self.labels[rows],
            splits=self.splits[rows],
            digests=tuple(self.digests_at(rows)),
            units=tuple(self.units_at(rows)) if self.units else (),
        )

    def counts(self, split: SplitName) -> dict[str, int]:
        """Number of a split's images by class name."""
        per_class = np.bincount(self.labels[self.rows(split)], minlength=len(self.classes))
        return dict(zip(self.classes, per_class.tolist(), strict=True))

    def has_same_images(self, other: "Dataset") -> bool:
        """Whether both hold the same images with the same labels, whatever their splits."""
        mine, others = (
            Counter(zip(d.digests, (d.classes[k] for k in d.labels), strict=True))
            for d in (self, other)
        )
        return mine == others

    def reordered_like(self, other: "Dataset") -> "Dataset":
        """Copy of this dataset with the order, the splits and the units of ``other``.

        Both must have the same images (see `has_same_images`). Rows and class numbers recorded for
        ``other`` stay valid, even if files were renamed, or if this version of the code orders
        classes or draws splits differently.
        """
        number = {name: k for k, name in enumerate(other.classes)}
        labels = np.array([number[name] for name in self.classes])[self.labels]
        mine, others = (
            np.lexsort((numbers, np.array(d.digests)))
            for d, numbers in ((self, labels), (other, other.labels))
        )
        rows = np.empty_like(mine)
        rows[others] = mine
        return replace(
            self,
            classes=other.classes,
            paths=tuple(self.paths[row] for row in rows),
            labels=labels[rows],
            splits=other.splits,
            digests=tuple(self.digests[row] for row in rows),
            units=other.units,
            val_is_drawn=other.val_is_drawn,
            fingerprint=other.fingerprint,
        )

    def write(self, manifest: Path, table: Path) -> None:
        """Write the ``manifest`` (JSON) and the ``table`` of images and splits (CSV)."""
        frame = pd.DataFrame(
            {
                "path": self.paths,
                "label": [self.classes[k] for k in self.labels],
                "split": self.splits,
                "digest": self.digests,
                "unit": self.units or self.digests,
            }
        )
        write_atomically(
            table, lambda partial: frame.to_csv(partial, index=False, quoting=csv.QUOTE_ALL)
        )
        facts = {
            "root": str(self.root),
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "counts": {split: self.counts(split) for split in SPLITS},
            "val_is_drawn": self.val_is_drawn,
        }
        write_json(manifest, facts)

    @classmethod
    def read(cls, manifest: Path, table: Path) -> "Dataset":
        """Read the files that `write` wrote."""
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        frame = pd.read_csv(table, dtype=str, keep_default_na=False)
        classes = tuple(facts["classes"])
        number = {name: k for k, name in enumerate(classes)}
        return cls(
            root=Path(facts["root"]),
            classes=classes,
            paths=tuple(frame["path"]),
            labels=np.array([number[name] for name in frame["label"]], dtype=np.int64),
            splits=frame["split"].to_numpy(dtype=str),
            digests=tuple(frame["digest"]),
            fingerprint=facts["fingerprint"],
            units=tuple(frame["unit" if "unit" in frame else "digest"]),
            val_is_drawn=facts.get("val_is_drawn", False),  # earlier versions did not record it
        )


def majority_class_share(labels: Sequence[int]) -> float:
    """Share of the most frequent class: the accuracy of always predicting it."""
    return max(Counter(labels).values()) / len(labels)
