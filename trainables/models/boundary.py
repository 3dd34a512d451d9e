"""`Boundary`: the values that a split model's prefix passes to its suffix."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from trainables.models.torch_internals import flat_leaves, flatten, unflatten
from trainables.models.tracing import CannotSplitError

Features = tuple[torch.Tensor, ...]
"""Output of a prefix for a batch of images; the first dimension of every tensor is the batch."""

ValueKind = Literal["feature", "fixed", "batch", "constant"]
"""Kind of a value at the boundary: a tensor with a row per image, a tensor that is the same for all
images, the batch size, or a Python constant."""

PROBE_SIZES = (2, 3)
"""Batch sizes of the two prefix runs from which the kind of each value is inferred."""


@dataclass(frozen=True)
class Boundary:
    """Values that the prefix passes to the suffix, as a flat tuple, and the kind of each."""

    values: tuple[Any, ...]
    """For a feature, the shape of one image's part; for every other kind, the value itself."""
    kinds: tuple[ValueKind, ...]
    """Kind of each value."""
    layout: Any
    """Nested structure of the values in the prefix's output."""

    @classmethod
    def of(cls, first: Any, second: Any) -> "Boundary":
        """Infer the kinds from a prefix's outputs for batches of `PROBE_SIZES` images.

        Raises `CannotSplitError` if no value is a feature, or if a value fits no kind.
        """
        values, layout = flatten(first)
        kinds = [_kind_of(a, b) for a, b in zip(values, flat_leaves(second), strict=True)]
        if "feature" not in kinds:
            raise CannotSplitError("no value at the cut has one row per image")
        kept = [
            tuple(value.shape[1:]) if kind == "feature" else value
            for value, kind in zip(values, kinds, strict=True)
        ]
        return cls(tuple(kept), tuple(kinds), layout)

    def features(self, output: Any) -> Features:
        """Select the features from a prefix's output."""
        return tuple(self._select("feature", flat_leaves(output)))

    @property
    def fixed(self) -> Features:
        """Tensors that are the same for all images."""
        return tuple(self._select("fixed", self.values))

    @property
    def feature_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of one image's features."""
        return tuple(self._select("feature", self.values))

    def nest(self, leaves: list[Any]) -> Any:
        """Nest flat values as the prefix's output nests them."""
        return unflatten(leaves, self.layout)

    def _select(self, kind: ValueKind, leaves: Iterable[Any]) -> list[Any]:
        return [leaf for leaf, k in zip(leaves, self.kinds, strict=True) if k == kind]


def _kind_of(first: Any, second: Any) -> ValueKind:
    """Kind of a value, inferred from its values for two batches of `PROBE_SIZES` images."""
    if isinstance(first, torch.Tensor):
        if first.shape == second.shape:
            if torch.equal(first, second):
                return "fixed"
        elif (len(first), len(second)) == PROBE_SIZES and first.shape[1:] == second.shape[1:]:
            return "feature"
    elif first == second:
        return "constant"
    elif (first, second) == PROBE_SIZES:
        return "batch"
    raise CannotSplitError("a value at the cut can't be stored image by image")
