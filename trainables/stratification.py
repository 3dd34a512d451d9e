"""Stratified parts of a set of images: units assigned to splits or folds, and samples."""

from collections.abc import Sequence

import numpy as np


def assign_units(
    labels: np.ndarray, units: Sequence[str], shares: Sequence[float], seed: int
) -> np.ndarray:
    """Part of each image, ``(n,)`` int64: every unit in one part, every class in its share.

    ``labels``, ``(n,)`` int, are class numbers; a unit may hold images of several classes.
    ``shares`` add up to 1. First every part gets the smallest units that give it each class. Then
    the other units, largest first, go where they lower the squared error of the classes' shares
    most. Units of equal size are taken in an order that the seed alone decides. A class with fewer
    units than parts is missing from some part; the caller has to check that.
    """
    _, unit_of_image = np.unique(np.array(units), return_inverse=True)
    # 1. Classes of each unit, and how many of its images each class has.
    pairs, counts = np.unique(np.stack([unit_of_image, labels], axis=1), axis=0, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    classes = np.split(pairs[:, 1], starts[1:])
    images = np.split(counts.astype(np.float64), starts[1:])
    # 2. Every class in every part; then the other units.
    sizes = np.array([each.sum() for each in images])
    order = np.random.default_rng(seed).permutation(len(sizes))
    parts = _Parts(np.bincount(labels), np.asarray(shares), len(sizes))
    smallest_first = order[np.argsort(sizes[order], kind="stable")]
    _give_every_part_each_class(parts, classes, images, smallest_first)
    for unit in order[np.argsort(-sizes[order], kind="stable")]:
        if parts.of_unit[unit] < 0:
            parts.put(unit, parts.best(classes[unit], images[unit]), classes[unit], images[unit])
    return parts.of_unit[unit_of_image]


def stratified_part(labels: np.ndarray, count: int) -> np.ndarray:
    """Positions, ascending, of about ``count`` images at most; a class has its share, at least one.

    ``labels`` are the ``(n,)`` class numbers. The same labels and count give the same positions.
    """
    rng, share = np.random.default_rng(0), min(1.0, count / len(labels))
    members = [rng.permutation(np.flatnonzero(labels == k)) for k in np.unique(labels)]
    return np.sort(np.concatenate([m[: max(1, round(share * len(m)))] for m in members]))


class _Parts:
    """Parts, and the images of each class that they have so far."""

    def __init__(self, class_sizes: np.ndarray, shares: np.ndarray, units: int) -> None:
        self.of_unit = np.full(units, -1, dtype=np.int64)
        """Part of each unit; -1 if it has none yet."""
        self.excess = -np.outer(shares, class_sizes).astype(np.float64)
        """Images of each class above its share, ``(parts, classes)``; negative if some lack."""
        self.has = np.zeros(self.excess.shape, dtype=bool)
        self._weights = 1.0 / np.maximum(class_sizes, 1) ** 2

    def best(self, classes: np.ndarray, images: np.ndarray) -> int:
        """Part whose squared error falls most if it gets a unit with ``images`` of ``classes``."""
        growth = (2 * self.excess[:, classes] + images) * images * self._weights[classes]
        return int(growth.sum(axis=1).argmin())

    def put(self, unit: int, part: int, classes: np.ndarray, images: np.ndarray) -> None:
        """Give a unit to a part."""
        self.of_unit[unit] = part
        self.excess[part, classes] += images
        self.has[part, classes] = True


def _give_every_part_each_class(
    parts: _Parts,
    classes: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    order: np.ndarray,
) -> None:
    """Give every part one unit of each class, the first in ``order``; rarest classes first."""
    units_of: dict[int, list[int]] = {}
    for unit in order.tolist():
        for label in classes[unit].tolist():
            units_of.setdefault(label, []).append(unit)
    for label in sorted(units_of, key=lambda k: (len(units_of[k]), k)):
        free = (unit for unit in units_of[label] if parts.of_unit[unit] < 0)
        for part in np.flatnonzero(~parts.has[:, label]).tolist():
            unit = next(free, None)
            if unit is not None:
                parts.put(unit, part, classes[unit], images[unit])
