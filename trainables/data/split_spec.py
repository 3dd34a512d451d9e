"""SplitSpec: which splits are drawn from which images, and how many images that takes."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

from spaces import DataError
from spaces.wording import counted
from trainables.listing import SPLITS, Row, SplitName, natural_key


@dataclass(frozen=True)
class SplitSpec:
    """Fractions and seed for drawing the splits that the source does not give."""

    val_fraction: float = 0.15
    test_fraction: float = 0.15
    seed: int = 0

    def drawn(self, given: Collection[SplitName | None]) -> dict[SplitName, float]:
        """Fraction of each split to draw, if the source gives the splits ``given``.

        An image without a split has the split None. Empty if the source gives all splits.
        """
        if None not in given and set(given) == set(SPLITS):
            return {}
        wanted: dict[SplitName, float] = {"test": self.test_fraction, "val": self.val_fraction}
        return {split: fraction for split, fraction in wanted.items() if split not in given}

    def val_is_drawn(self, given: Collection[SplitName | None]) -> bool:
        """Whether any training image might as well have been drawn as a validation image.

        It is not so if the source gives some training images, and draws concern only the others.
        """
        return "val" in self.drawn(given) and not {None, "train"} <= set(given)


def drawn_from(given: Collection[SplitName | None]) -> SplitName | None:
    """Split of the images that are drawn from: None for those without one, else train."""
    return None if None in given else "train"


def refuse_small_classes(
    rows: Sequence[Row], units: Sequence[Hashable], spec: SplitSpec, *, has_groups: bool
) -> None:
    """Raise `DataError` if a class has fewer units to be drawn from than there are splits to fill.

    ``units`` names the unit of each row. Images that turn out to be copies make units fewer still.
    """
    given = {row.split for row in rows}
    fractions = spec.drawn(given)
    units_of: dict[str, set[Hashable]] = defaultdict(set)
    for row, unit in zip(rows, units, strict=True):
        if row.split == drawn_from(given):
            units_of[row.label].add(unit)
    for label in sorted(units_of, key=natural_key):
        if fractions and len(units_of[label]) <= len(fractions):
            raise small_class_error(label, len(units_of[label]), fractions, has_groups=has_groups)


def small_class_error(
    label: str, units: int, drawn: Iterable[SplitName], *, has_groups: bool
) -> DataError:
    """Error for a class whose units don't suffice for train and all ``drawn`` splits."""
    splits = ", ".join(["train", *drawn])
    if has_groups:
        return DataError(
            f"Class {label!r} has {counted(units, 'group')} of images to be split into {splits}, "
            "and each needs one of its own; add groups, remove the class, or choose smaller "
            "groups with --group-by or --group-column."
        )
    return DataError(
        f"Class {label!r} has {counted(units, 'different image')} to be split into {splits}, if "
        "copies and near copies count once; add images or remove the class."
    )
