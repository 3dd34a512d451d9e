"""Grid: all points of a space whose dimensions have choices or steps alone."""

from collections.abc import Mapping

from spaces.conditional import cases_of
from spaces.dimension import Range, Value
from spaces.errors import SpaceError
from spaces.space import SearchSpace


def grid_points(space: SearchSpace) -> list[dict[str, Value]]:
    """All points, each with the values of the open fields that it uses.

    Raises `SpaceError` if `Range.values` of a dimension is empty.
    """
    infinite = [
        case.name
        for field in space.draw_order
        for case in cases_of(field, space.dimensions[field])
        if isinstance(case.dimension, Range) and not case.dimension.values
    ]
    if infinite:
        raise SpaceError(
            f"A grid needs choices or steps, but the space {space.name!r} has neither for "
            f"{', '.join(infinite)}; give choices or a step."
        )
    points: list[dict[str, Value]] = [{}]
    for field in space.draw_order:
        points = [point | value for point in points for value in _values_at(space, field, point)]
    return points


def _values_at(
    space: SearchSpace, field: str, point: Mapping[str, Value]
) -> list[dict[str, Value]]:
    """Values that a field can have in a point; a single empty table if it is not used."""
    case = space.case_at(field, space.complete(point))
    if case is None:
        return [{}]
    dim = case.dimension
    return [{field: v} for v in (dim.values if isinstance(dim, Range) else dim.extremes)]
