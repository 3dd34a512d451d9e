"""`Conditional`: the dimension of a field depends on the values of other fields."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from spaces.dimension import AnyDimension, Choices, Fixed, Range, Value, dimension_of

SEPARATOR = " | "
"""Separates field and condition in the name of a case."""


class Condition(BaseModel):
    """Values that other fields must have, such as ``when = { optimizer = ["sgd", "rmsprop"] }``."""

    model_config = ConfigDict(frozen=True)

    allowed: dict[str, AnyDimension]
    """Allowed values of each field that the condition is about. All must agree."""

    @classmethod
    def parse(cls, table: Mapping[str, object]) -> "Condition":
        """Condition from a table that gives for each field a value, a list, or low and high."""
        entries = {f: {"choices": e} if isinstance(e, list) else e for f, e in table.items()}
        return cls(allowed={field: dimension_of(field, entry) for field, entry in entries.items()})

    def to_table(self) -> dict[str, object]:
        """Table that `parse` reads."""
        return {field: dim.model_dump() for field, dim in self.allowed.items()}

    def holds(self, values: Mapping[str, object]) -> bool:
        """Whether a point with these values meets the condition."""
        return all(dim.contains(values.get(field)) for field, dim in self.allowed.items())

    def given(self, fixed: Mapping[str, Value]) -> "Condition | None":
        """What is left of the condition where some fields are fixed; None if it can't hold."""
        known = {field: dim for field, dim in self.allowed.items() if field in fixed}
        if not all(dim.contains(fixed[field]) for field, dim in known.items()):
            return None
        return Condition(allowed={f: dim for f, dim in self.allowed.items() if f not in known})

    def __str__(self) -> str:
        return ", ".join(f"{field}={_short(dim)}" for field, dim in self.allowed.items())


def _short(dim: AnyDimension) -> str:
    if isinstance(dim, Range):
        return f"{dim.low:g}..{dim.high:g}"
    return "/".join(map(str, dim.extremes))


class Case(NamedTuple):
    """A dimension of a field, and the condition under which the field has it."""

    field: str
    name: str
    """Name by which samplers know the dimension. It differs between the cases of a field, because
    samplers treat the values of one name as alike."""
    when: Condition | None
    """Condition of the case; None if it always holds."""
    dimension: AnyDimension


class Conditional(BaseModel):
    """A field whose dimension is that of the first case whose condition holds.

    Points in which no condition holds don't use the field; its value is then the default of
    `TrialParams`.
    """

    model_config = ConfigDict(frozen=True)

    cases: tuple[Case, ...]

    @classmethod
    def of(
        cls, field: str, pairs: Sequence[tuple[Condition | None, AnyDimension]]
    ) -> "Conditional":
        """Conditional dimension of a field, from conditions and dimensions in order.

        A case has the field's own name if it is the only open one or has no condition.
        """
        only = sum(not isinstance(dim, Fixed) for _, dim in pairs) == 1
        return cls(
            cases=tuple(
                Case(field, field if only or not when else f"{field}{SEPARATOR}{when}", when, dim)
                for when, dim in pairs
            )
        )

    def given(self, fixed: Mapping[str, Value]) -> "AnyDimension | Conditional | None":
        """The dimension where some fields are fixed; None if no case can hold.

        Cases that can't hold are left out, and conditions that always hold are dropped.
        """
        cases: list[tuple[Condition | None, AnyDimension]] = []
        for case in self.cases:
            when = case.when.given(fixed) if case.when else Condition(allowed={})
            if when is None or any(when == earlier for earlier, _ in cases):
                continue
            cases.append((when if when.allowed else None, case.dimension))
            if not when.allowed:
                break
        if not cases:
            return None
        only = cases[0] if len(cases) == 1 else None
        return only[1] if only and only[0] is None else Conditional.of(self.cases[0].field, cases)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Names of the fields that the conditions are about."""
        conditions = [case.when for case in self.cases if case.when]
        return tuple(dict.fromkeys(field for when in conditions for field in when.allowed))

    @property
    def start(self) -> Value:
        """Default value of the last case: it stands for the field where no case is known."""
        return self.cases[-1].dimension.start

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values to validate: if these are valid, so is every value of every case."""
        return tuple(dict.fromkeys(v for case in self.cases for v in case.dimension.extremes))

    @property
    def hull(self) -> AnyDimension:
        """The smallest plain dimension that has the values of all cases, for charts and tables."""
        ranges = [c.dimension for c in self.cases if isinstance(c.dimension, Range)]
        values, reason = self.extremes, self.cases[-1].dimension.reason
        if len(values) == 1:
            return Fixed(value=values[0], reason=reason)
        numbers = [value for value in values if isinstance(value, int | float)]
        if not ranges or len(numbers) < len(values):
            return Choices(choices=values, reason=reason)
        low, high = min(numbers), max(numbers)
        log = low > 0 and all(dim.log for dim in ranges)
        return Range(low=low, high=high, log=log, reason=reason)

    def to_table(self) -> dict[str, object]:
        """Table that `read_dimension` of `spaces.space_file` reads."""
        table: dict[str, Any] = {"cases": []}
        for _, _, when, dim in self.cases:
            if when is None:
                table |= dim.model_dump()
            else:
                table["cases"].append({"when": when.to_table(), **dim.model_dump()})
        return table


def cases_of(field: str, dimension: AnyDimension | Conditional) -> tuple[Case, ...]:
    """Cases of a field; a plain dimension is a single case, which always holds."""
    if isinstance(dimension, Conditional):
        return dimension.cases
    return (Case(field, field, None, dimension),)
