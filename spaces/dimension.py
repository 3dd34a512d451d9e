"""Dimensions of a search space: a field is `Fixed`, has a `Range`, or is one of `Choices`."""

import math
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from spaces.known_backbones import CostBounds
from spaces.params import TrialParams

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

Value = float | int | bool | str
"""Type of a field of `TrialParams`."""

NATIVE = "native"
"""Value of image_size that stands for each backbone's own input size, as in timm."""

AUTO = "auto"
"""Value of backbone that stands for the known backbones within some bounds."""


class Dimension(BaseModel):
    """Allowed values of one field of `TrialParams`. Subclasses: `Fixed`, `Range`, `Choices`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reason: str = ""
    """Reason for the bounds: a published recipe, a measurement, a limit of the hardware."""


class Fixed(Dimension):
    """One value in every trial."""

    value: Value

    @property
    def start(self) -> Value:
        """Default value: the only one."""
        return self.value

    def contains(self, value: object) -> bool:
        """Whether ``value`` is the fixed value."""
        return is_same(value, self.value)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values to validate: if these are valid, so is every value of the dimension."""
        return (self.value,)


class Range(Dimension):
    """A number from ``low`` to ``high``, both included; an integer if both bounds are integers."""

    low: float | int
    high: float | int
    log: bool = False
    """Whether values are drawn uniformly on a logarithmic scale."""
    step: float | int | None = None
    """Distance between neighbouring values; None allows all numbers (or integers) of the range."""
    default: float | int | None = None
    """Value of a trial that does not set the field; None takes the middle of the range."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low} and {self.high}.")
        if self.log and self.low <= 0:
            raise ValueError(f"a log range must start above 0, not at {self.low}.")
        if self.log and self.step is not None:
            raise ValueError("a log range can't have a step; leave out log or step.")
        if self.step is not None:
            fractional = self.is_integer and self.step != int(self.step)
            if fractional or not 0 < self.step <= (self.high - self.low) * (1 + 1e-9):
                raise ValueError(
                    f"step must be {'whole, ' if self.is_integer else ''}above 0 and at most "
                    f"{self.high - self.low:g} (high minus low), not {self.step}."
                )
        if self.default is not None and not self.low <= self.default <= self.high:
            raise ValueError(
                f"default must lie between {self.low} and {self.high}, not at {self.default}."
            )
        if self.default is not None and self.step is not None and not self.contains(self.default):
            raise ValueError(
                f"default must be {self.low} plus a multiple of the step {self.step}, such as "
                f"{self.nearest(self.default)}, not {self.default}."
            )
        return self

    @property
    def is_integer(self) -> bool:
        """Whether all values are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def values(self) -> tuple[float | int, ...]:
        """All values in ascending order; empty for a log range, or for floats without a step.

        Integers without ``step`` have a step of 1.
        """
        step = self.step or (1 if self.is_integer and not self.log else None)
        if step is None:
            return ()
        count = int((self.high - self.low) / step + 1e-9) + 1
        if self.is_integer:
            return tuple(self.low + i * int(step) for i in range(count))
        # 0.3, and not 0.30000000000000004
        plain = (float(f"{self.low + i * step:.12g}") for i in range(count))
        return tuple(min(max(value, self.low), self.high) for value in plain)

    @property
    def start(self) -> Value:
        """Default value: ``default``, else the middle (for a log range, the geometric mean)."""
        if self.default is not None:
            return self.default
        return self.nearest(
            math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        )

    def contains(self, value: object) -> bool:
        """Whether ``value`` can be drawn."""
        if not isinstance(value, int | float):
            return False
        return is_same(float(value), float(self.nearest(value)))

    def nearest(self, value: object) -> float | int:
        """Value of the range that is nearest to the number ``value``."""
        inside = min(max(float(str(value)), self.low), self.high)
        if self.values:
            return min(self.values, key=lambda candidate: abs(candidate - inside))
        return round(inside) if self.is_integer else inside

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values to validate: if these are valid, so is every value of the dimension."""
        return (self.low, self.high)

    def distribution(self) -> "BaseDistribution":
        """Optuna's distribution of the same values."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.is_integer:
            step = int(self.step or 1)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def suggest(self, trial: "Trial", name: str) -> Value:
        """Value that an Optuna trial suggests under a name."""
        if self.is_integer:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, log=self.log, step=step)
        value = trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)
        return value if self.step is None else self.nearest(value)


class Choices(Dimension):
    """One of the values ``choices``."""

    choices: tuple[Value, ...]
    default: Value | None = None
    """Value of a trial that does not set the field; None takes the first choice."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.choices) == 0 or len(set(self.choices)) < len(self.choices):
            raise ValueError(
                f"choices must be one or more distinct values, not {list(self.choices)}."
            )
        if self.default is not None and self.default not in self.choices:
            raise ValueError(f"default must be one of the choices, not {self.default!r}.")
        return self

    @property
    def start(self) -> Value:
        """Default value: ``default``, else the first choice."""
        return self.choices[0] if self.default is None else self.default

    def contains(self, value: object) -> bool:
        """Whether ``value`` can be drawn."""
        return any(is_same(value, choice) for choice in self.choices)

    def nearest(self, value: object) -> Value:
        """``value`` itself if it is among the choices, else the default value."""
        return next((choice for choice in self.choices if is_same(value, choice)), self.start)

    @property
    def extremes(self) -> tuple[Value, ...]:
        """Values to validate: if these are valid, so is every value of the dimension."""
        return self.choices

    def distribution(self) -> "BaseDistribution":
        """Optuna's distribution of the same values."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)

    def suggest(self, trial: "Trial", name: str) -> Value:
        """Value that an Optuna trial suggests under a name."""
        chosen = trial.suggest_categorical(name, self.choices)
        assert chosen is not None  # as no choice is
        return chosen


class Candidates(Choices):
    """The backbones that "auto" stands for. A plan keeps the few that promise most."""


AnyDimension = Fixed | Range | Choices


def is_same(value: object, other: object) -> bool:
    """Whether two values are equal, numbers up to rounding: three steps of 0.1 are 0.3."""
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-9, abs_tol=1e-12)
    return value == other


def dimension_of(field: str, entry: object) -> AnyDimension:
    """Dimension of a field, from its entry in a space's table: a value, or a table of bounds."""
    table = entry if isinstance(entry, dict) else {"value": entry}
    table = {key: to_field_type(value, field) for key, value in table.items()}
    if field == "backbone" and AUTO in (table.get("value"), table.get("choices")):
        bounds = {k: v for k, v in table.items() if k not in ("value", "choices", "reason")}
        names = CostBounds.model_validate(bounds).names()
        return Candidates(choices=names, reason=str(table.get("reason", "")))
    if "value" in table:
        return Fixed.model_validate(table)
    if "choices" in table:
        choices = Choices.model_validate(table)
        if len(choices.choices) == 1:  # a sampler has nothing to choose
            return Fixed(value=choices.choices[0], reason=choices.reason)
        return choices
    return Range.model_validate(table)


def to_field_type(value: Any, field: str) -> Any:
    """Convert a number, or each number of a list, to the type of the field, int or float.

    A TOML file may hold an int for a float field, or 1e3 for an int field.
    """
    if isinstance(value, list):
        return [to_field_type(item, field) for item in value]
    info = TrialParams.model_fields.get(field)
    if info and info.annotation is float and type(value) is int:
        return float(value)
    if info and info.annotation is int and type(value) is float and value.is_integer():
        return int(value)
    return value


def value_from_text(text: str, field: str) -> Value:
    """Value of a field as typed on a command line; ``text`` itself if the field's type differs."""
    types: dict[str, Any] = {f: info.annotation for f, info in TrialParams.model_fields.items()}
    adapter = TypeAdapter(types.get(field, str), config=ConfigDict(allow_inf_nan=False))
    try:
        value: Value = adapter.validate_strings(text)
    except ValidationError:
        return text
    return value
