"""Checks of a search space: every bound, condition and start is valid."""

from collections.abc import Iterator, Mapping, Sequence

from spaces.conditional import Conditional, cases_of
from spaces.dimension import NATIVE, AnyDimension, Fixed, Range, Value
from spaces.domain import Domain
from spaces.errors import SpaceError, unknown
from spaces.params import NO_EFFECT, ZERO_IN_PROBES, TrialParams
from spaces.wording import name_some


def check_space(space: Domain, recipes: Sequence[Mapping[str, Value]], *, name: str) -> None:
    """Check every bound, condition and start of a space. Raises `SpaceError` with all problems."""
    if "backbone" not in space.dimensions:
        raise SpaceError(f"The space {name!r} names no backbone; add backbone.choices.")
    for field in ("backbone", "image_size"):  # a sweep prepares every value before it starts
        if any(isinstance(c.dimension, Range) for c in cases_of(field, space.dimensions[field])):
            raise SpaceError(f"{field} needs choices or a value, not a range.")
    problems = [
        *_wrong_values(space),
        *_impossible_probes(space),
        *_without_effect(space),
        *_wrong_starts(space, recipes),
    ]
    if problems:
        raise SpaceError.of(dict.fromkeys(problems))


def _wrong_values(space: Domain) -> Iterator[str]:
    """Values that `TrialParams` does not allow, in dimensions and in conditions."""
    start = {field: dim.start for field, dim in space.dimensions.items()}
    by_head = [f for f in ZERO_IN_PROBES if "head" in space.dependencies.get(f, ())]
    start |= dict.fromkeys(by_head, 0)  # `_impossible_probes` has a closer look at these
    for field, dim in space.dimensions.items():
        for case in cases_of(field, dim):
            yield from _problems_of(field, case.dimension, start)
            for other, allowed in case.when.allowed.items() if case.when else ():
                for problem in _problems_of(other, allowed, start):
                    yield f"when of {field}: {problem}"
            whole = TrialParams.model_fields[field].annotation is int
            bounds = case.dimension
            if whole and isinstance(bounds, Range) and not bounds.is_integer:
                yield f"{field} needs whole bounds, not {bounds.low} and {bounds.high}."


def _problems_of(field: str, dim: AnyDimension, start: Mapping[str, object]) -> Iterator[str]:
    """Sentences about a field's values that are not valid while other fields are at ``start``."""
    for value in dict.fromkeys((*dim.extremes, dim.start)):
        if field == "image_size" and value == NATIVE:
            continue
        try:
            TrialParams.parse({**start, "image_size": 224, field: value})
        except SpaceError as error:
            yield from (line for line in str(error).splitlines() if line.startswith(field))


def _impossible_probes(space: Domain) -> Iterator[str]:
    """Fields that must be 0 where the head is solved, but may differ in a space whose head varies.

    A space of probes alone has its values checked one by one.
    """
    heads = {v for c in cases_of("head", space.dimensions["head"]) for v in c.dimension.extremes}
    if not {"trained", "solved"} <= heads:
        return
    for field in ZERO_IN_PROBES:
        for case in cases_of(field, space.dimensions[field]):
            allowed = case.when.allowed if case.when else {}
            is_for_probes = "head" not in allowed or allowed["head"].contains("solved")
            if is_for_probes and set(case.dimension.extremes) != {0}:
                yield (
                    f"{field} must be 0 where head is solved; give it the condition when = "
                    '{ head = "trained" }, or fix head and write a start with head = "solved".'
                )
                break
            if is_for_probes and allowed.keys() <= {"head"}:  # holds for every probe
                break


def _without_effect(space: Domain) -> Iterator[str]:
    """Fields that vary but can have no effect."""
    for field, (other, inactive_at) in NO_EFFECT.items():
        cause = space.dimensions[other]
        if field in space.open and isinstance(cause, Fixed) and cause.value == inactive_at:
            yield (
                f"{field} varies but {other} is fixed at {inactive_at}, so {field} has no effect; "
                f"fix {field} or let {other} vary."
            )


def _wrong_starts(space: Domain, recipes: Sequence[Mapping[str, Value]]) -> Iterator[str]:
    """Values of starts that the space does not allow, given the other values of the start."""
    for recipe in recipes:
        unknown_fields = [field for field in recipe if field not in space.dimensions]
        yield from (f"starts: {unknown('parameter', f, space.dimensions)}" for f in unknown_fields)
        if unknown_fields:
            continue
        for field in refused_fields(space, recipe):
            value = recipe[field]
            here = "" if not space.allows(field, value) else " with the start's other values"
            yield (
                f"starts: {field} can't be {value} in this space{here}; give an allowed value "
                f"or leave {field} out."
            )


def refused_fields(space: Domain, recipe: Mapping[str, Value]) -> list[str]:
    """Fields whose values in a start the space allows with no backbone, given its other values."""
    points = [space.complete({"backbone": name, **recipe}) for name in space.backbones]
    refused = []
    for field, value in recipe.items():
        if field == "head" and value == "solved":  # a probe is a start in every space
            continue
        cases = [space.case_of(field, point) for point in points]
        if not any(case and case.dimension.contains(value) for case in cases):
            refused.append(field)
    return refused


def check_conditions(dimensions: Mapping[str, AnyDimension | Conditional]) -> None:
    """Check that every condition can hold. Raises `SpaceError` with all problems."""
    if isinstance(dimensions.get("backbone"), Conditional):
        raise SpaceError("backbone can't depend on other parameters; let these depend on backbone.")
    problems = []
    for field, dim in dimensions.items():
        for case in cases_of(field, dim):
            for other, allowed in case.when.allowed.items() if case.when else ():
                possible = dimensions.get(other, allowed)
                if never := _impossible(allowed, possible):
                    problems.append(
                        f"when of {field}: {other} is never {name_some(never)} in this space, only "
                        f"{name_some(possible.extremes)}."
                    )
    if problems:
        raise SpaceError.of(problems)


def _impossible(allowed: AnyDimension, possible: AnyDimension | Conditional) -> list[object]:
    """Values of a condition that its field never has. Of ranges, only the ends are compared."""
    hull = possible.hull if isinstance(possible, Conditional) else possible
    if isinstance(hull, Range):
        inside = [v for v in allowed.extremes if isinstance(v, int | float)]
        apart = not inside or max(inside) < hull.low or min(inside) > hull.high
        return list(allowed.extremes) if apart else []
    if isinstance(allowed, Range):
        return [] if any(map(allowed.contains, hull.extremes)) else list(allowed.extremes)
    return [value for value in allowed.extremes if not hull.contains(value)]
