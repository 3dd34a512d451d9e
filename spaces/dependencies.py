"""Dependencies between the fields of a search space, and the order that they can be drawn in."""

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from spaces.conditional import Conditional
from spaces.dimension import AnyDimension, Fixed, Value
from spaces.errors import SpaceError
from spaces.params import NO_EFFECT


def draw_order(dimensions: Mapping[str, AnyDimension | Conditional]) -> tuple[str, ...]:
    """Fields that are not fixed, each after the fields that it depends on.

    Otherwise the order is that of ``dimensions``. Raises `SpaceError` if fields depend on one
    another in a circle.
    """
    needed = {field: _dependencies(field, dim) for field, dim in dimensions.items()}
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        circle = " on ".join(error.args[1][::-1])
        raise SpaceError(f"Conditions can't go in a circle: {circle}; drop one of them.") from None
    order: dict[str, None] = {}

    def add(field: str) -> None:
        for other in needed.get(field, ()):
            add(other)
        if not isinstance(dimensions.get(field, Fixed(value=0)), Fixed):
            order[field] = None

    for field in dimensions:
        add(field)
    return tuple(order)


def _dependencies(field: str, dim: AnyDimension | Conditional) -> list[str]:
    """Fields whose values must be known before a field is drawn."""
    others = [NO_EFFECT[field][0]] if field in NO_EFFECT else []
    return others + list(dim.depends_on if isinstance(dim, Conditional) else ())


def without_decided_conditions(
    dimensions: Mapping[str, AnyDimension | Conditional], defaults: Mapping[str, Value]
) -> dict[str, AnyDimension | Conditional]:
    """Dimensions without the conditions that fixed fields decide.

    A field of which no case can hold is fixed at its default.
    """
    known = dict(dimensions)
    for field in draw_order(dimensions):
        dim = known[field]
        if isinstance(dim, Conditional):
            fixed = {f: d.value for f, d in known.items() if isinstance(d, Fixed)}
            known[field] = dim.given(fixed) or Fixed(value=defaults[field])
    return known
