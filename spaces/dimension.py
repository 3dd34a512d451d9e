"""How one field of a space varies: `Fixed`, `Range`, `Choices`."""

import math
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from spaces.params import TrialParams

Value = float | int | bool | str
"""What a field of `TrialParams` can hold."""


class Dimension(BaseModel):
    """How one field varies. Subclasses: `Fixed`, `Range`, `Choices`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reason: str = ""
    """Why these bounds: a published recipe, a measurement, a limit of the hardware."""


class Fixed(Dimension):
    """The field has one value in every trial."""

    value: Value

    @property
    def start(self) -> Value:
        """The value of a trial that doesn't choose."""
        return self.value

    def holds(self, value: object) -> bool:
        """Whether it is the value."""
        return value == self.value

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that must be legal for all of the dimension to be."""
        return (self.value,)


class Range(Dimension):
    """The field is drawn from ``low`` to ``high``, both included; integers if both are."""

    low: float | int
    high: float | int
    log: bool = False
    step: float | int | None = None
    default: float | int | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}.")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range must start above 0, not at {self.low}.")
        if self.log and self.step is not None:
            raise ValueError("a log range can't have a step; leave one of the two out.")
        if self.step is not None:
            whole = self.whole and self.step != int(self.step)
            if whole or not 0 < self.step <= (self.high - self.low) * (1 + 1e-9):
                raise ValueError(
                    f"step must be {'whole, ' if self.whole else ''}above 0 and no longer than "
                    f"the range, {self.high - self.low:g}, not {self.step}."
                )
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(
                f"default must lie between {self.low} and {self.high}, not at {self.default}."
            )
        if self.default is not None and self.step is not None and not self.holds(self.default):
            raise ValueError(
                f"default must be a step of {self.step} from {self.low}, such as "
                f"{self.nearest(self.default)}, not {self.default}."
            )
        return self

    @property
    def whole(self) -> bool:
        """Whether only integers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def values(self) -> tuple[float | int, ...]:
        """All that can be drawn, ascending; none if there is no end of them."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None:
            return ()
        count = int((self.high - self.low) / step + 1e-9) + 1
        return tuple(min(self.low + i * step, self.high) for i in range(count))

    @property
    def start(self) -> Value:
        """``default``, else the middle (of the logarithms, for a log range)."""
        if self.default is not None:
            return self.default
        return self.nearest(
            math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        )

    def holds(self, value: object) -> bool:
        """Whether it can be drawn."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return math.isclose(value, float(self.nearest(value)), rel_tol=1e-9, abs_tol=1e-12)

    def nearest(self, value: object) -> float | int:
        """What can be drawn that is nearest to a number."""
        inside = min(max(float(str(value)), self.low), self.high)
        if self.values:
            return min(self.values, key=lambda drawn: abs(drawn - inside))
        return round(inside) if self.whole else inside

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that must be legal for all of the dimension to be."""
        return (self.low, self.high)


class Choices(Dimension):
    """The field is one of ``choices``."""

    choices: tuple[Value, ...]
    default: Value | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.choices) == 0 or len(set(self.choices)) < len(self.choices):
            raise ValueError(f"choices must be different values, not {list(self.choices)}.")
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default must be one of the choices, not {self.default!r}.")
        return self

    @property
    def start(self) -> Value:
        """``default``, else the first choice."""
        return self.choices[0] if self.default is None else self.default

    def holds(self, value: object) -> bool:
        """Whether it can be drawn."""
        return value in self.choices

    def nearest(self, value: object) -> Value:
        """The value itself if it can be drawn, else what a trial has that doesn't choose."""
        return value if value in self.choices else self.start

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values that must be legal for all of the dimension to be."""
        return self.choices


AnyDimension = Fixed | Range | Choices


def dimension_of(field: str, entry: object) -> AnyDimension:
    """What a space's table says of a field: its value, bounds, or choices."""
    table = entry if isinstance(entry, dict) else {"value": entry}
    table = {key: number(value, field) for key, value in table.items()}
    if "value" in table:
        return Fixed.model_validate(table)
    if "choices" in table:
        return Choices.model_validate(table)
    return Range.model_validate(table)


def number(value: Any, field: str) -> Any:
    """TOML writes 1 and 1e3 as it likes: give a number the kind that its field has."""
    if isinstance(value, list):
        return [number(item, field) for item in value]
    info = TrialParams.model_fields.get(field)
    if info and info.annotation is float and type(value) is int:
        return float(value)
    if info and info.annotation is int and type(value) is float and value.is_integer():
        return int(value)
    return value
