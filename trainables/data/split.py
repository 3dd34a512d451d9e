"""Drawing of the splits that a data source does not give: by units, stratified by class."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from spaces import DataError
from trainables.data.copies import ReadableImages
from trainables.data.split_spec import SplitSpec, drawn_from, small_class_error
from trainables.data.units import Units
from trainables.listing import SplitName, natural_key
from trainables.stratification import assign_units


def assign_splits(
    readable: ReadableImages, units: Units, spec: SplitSpec
) -> tuple[list[SplitName], str]:
    """Split of each image, and a description of how the split was made.

    Images of one unit that are drawn are drawn together. Raises `DataError` if a class has too few
    units to be split.
    """
    given: list[SplitName | None] = [row.split for row, _ in readable]
    fractions, source = spec.drawn(given), drawn_from(given)
    if not fractions:
        return [name for name in given if name], "as given"
    splits: list[SplitName] = [name or "train" for name in given]
    positions = [k for k, split in enumerate(given) if split == source]
    draw = _draw_copies if units.only_exact_copies else _draw_units
    for position, name in draw(readable, units, positions, fractions, spec.seed).items():
        splits[position] = name
    drawn = " and ".join(f"{name} {fraction:.0%}" for name, fraction in fractions.items())
    drawn_once = "the images without a split" if any(given) else "all images"
    origin = drawn_once if source is None else "the given train images"
    together = "" if units.only_exact_copies else "groups and near copies together, "
    if not any(units.groups):
        together = together.replace("groups and ", "")
    return splits, f"{drawn} of {origin}, stratified by class, {together}seed {spec.seed}"


def _draw_copies(
    readable: ReadableImages,
    units: Units,
    positions: Sequence[int],
    fractions: Mapping[SplitName, float],
    seed: int,
) -> dict[int, SplitName]:
    """Drawn split by position, if every unit consists of copies of one image.

    Each class is drawn on its own, and copies count once. Copies with different labels all count as
    the first copy's class, so that they stay together.
    """
    by_class: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    first_label: dict[str, str] = {}
    for position in positions:
        unit = units.names[position]
        label = first_label.setdefault(unit, readable[position][0].label)
        by_class[label][unit].append(position)
    drawn: dict[int, SplitName] = {}
    for label in sorted(by_class):
        drawn |= _draw_class(label, by_class[label], fractions, seed)
    return drawn


def _draw_class(
    label: str,
    copies: Mapping[str, Sequence[int]],
    fractions: Mapping[SplitName, float],
    seed: int,
) -> dict[int, SplitName]:
    """Draw a class's images for each split in ``fractions``; the other images stay in train.

    ``copies`` maps each unit to the positions of its copies. Returns the drawn split by position.
    """
    names = sorted(copies)
    if len(names) < len(fractions) + 1:
        raise small_class_error(label, len(names), fractions, has_groups=False)
    np.random.default_rng([seed, *label.encode(errors="surrogateescape")]).shuffle(names)
    drawn: dict[int, SplitName] = {}
    for split, fraction in fractions.items():
        count = max(1, round(fraction * len(copies)))
        drawn |= {position: split for name in names[:count] for position in copies[name]}
        names = names[count:]
    if not names:
        raise DataError(
            f"Class {label!r} has {len(copies)} different images and none would be "
            "left for train; add images or lower split.val_fraction and split.test_fraction."
        )
    return drawn


def _draw_units(
    readable: ReadableImages,
    units: Units,
    positions: Sequence[int],
    fractions: Mapping[SplitName, float],
    seed: int,
) -> dict[int, SplitName]:
    """Drawn split by position, if units hold different images; see `assign_units`."""
    labels = [readable[k][0].label for k in positions]
    classes = sorted(set(labels), key=natural_key)
    number = {name: k for k, name in enumerate(classes)}
    names = [units.names[k] for k in positions]
    parts: tuple[SplitName, ...] = ("train", *fractions)
    shares = [1 - sum(fractions.values()), *fractions.values()]
    assigned = assign_units(np.array([number[name] for name in labels]), names, shares, seed)
    splits = [parts[k] for k in assigned.tolist()]
    present = set(zip(splits, labels, strict=True))
    for label in classes:
        missing = [part for part in parts if (part, label) not in present]
        if missing:
            count = len({n for n, other in zip(names, labels, strict=True) if other == label})
            raise small_class_error(label, count, fractions, has_groups=any(units.groups))
    return dict(zip(positions, splits, strict=True))
