"""`Domain`: the values that a point may have, and the fields that it uses."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from spaces.conditional import Case, Conditional, cases_of
from spaces.dependencies import draw_order, without_decided_conditions
from spaces.dimension import NATIVE, AnyDimension, Choices, Fixed, Range, Value
from spaces.errors import SpaceError, unknown
from spaces.params import NO_EFFECT, ZERO_IN_PROBES, TrialParams, with_current_names

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

_PROBE = dict.fromkeys(ZERO_IN_PROBES, 0)
"""Values that a linear probe needs, whatever the domain allows."""

_DEFAULTS: Mapping[str, Value] = {
    field: NATIVE if field == "image_size" else info.default
    for field, info in TrialParams.model_fields.items()
    if not info.is_required()
}
"""Values of fields that are not named, or that a point does not use."""


class Domain:
    """A dimension for each field of `TrialParams`. Immutable.

    A dimension may depend on the values of other fields (`Conditional`). A field that
    ``dimensions`` lacks is fixed at its default; the default of image_size is each backbone's
    native size.

    Samplers know a dimension by the `Case.name`, which is the field's name unless the field has
    several open dimensions.

    Raises `SpaceError` if fields depend on one another in a circle.
    """

    def __init__(self, dimensions: Mapping[str, AnyDimension | Conditional]) -> None:
        self.dimensions = without_decided_conditions(with_defaults(dimensions), _DEFAULTS)
        self.draw_order = draw_order(self.dimensions)
        """Fields that are not fixed, each after the fields that it depends on."""
        self._fixed = {f: d.value for f, d in self.dimensions.items() if isinstance(d, Fixed)}

    def allows(self, field: str, value: Value) -> bool:
        """Whether some point of the domain has this value."""
        cases = cases_of(field, self.dimensions[field])
        return any(case.dimension.contains(value) for case in cases)

    @cached_property
    def open(self) -> dict[str, Range | Choices]:
        """The fields that vary, each with its values; of conditional fields, those of all cases."""
        plain = {f: d.hull if isinstance(d, Conditional) else d for f, d in self.dimensions.items()}
        return {field: dim for field, dim in plain.items() if not isinstance(dim, Fixed)}

    @property
    def dependencies(self) -> dict[str, tuple[str, ...]]:
        """The fields that each conditional field depends on."""
        conditional = {f: d for f, d in self.dimensions.items() if isinstance(d, Conditional)}
        return {field: dim.depends_on for field, dim in conditional.items()}

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of all backbones that a trial can have."""
        return tuple(str(value) for value in self.dimensions["backbone"].extremes)

    def backbone_sizes(self, native_image_size: Mapping[str, int]) -> list[tuple[str, int]]:
        """All pairs of a backbone and an image size in pixels that a trial can have."""
        pairs = [
            (backbone, native_image_size[backbone] if size == NATIVE else int(size))
            for backbone in self.backbones
            for size in self.values_with("image_size", backbone)
        ]
        return list(dict.fromkeys(pairs))

    def values_with(self, field: str, backbone: str) -> list[Value]:
        """Ends or choices of a field's values with a backbone, whatever the other fields are."""
        values: list[Value] = []
        for case in cases_of(field, self.dimensions[field]):
            allowed = case.when.allowed if case.when else {}
            if "backbone" not in allowed or allowed["backbone"].contains(backbone):
                values += case.dimension.extremes
                if allowed.keys() <= {"backbone"}:  # the case holds, so no later one does
                    return values
        return [*values, _DEFAULTS[field]]

    def distributions(self) -> "dict[str, BaseDistribution]":
        """The open dimensions as Optuna's distributions, by the names that samplers know."""
        return {
            case.name: dim.distribution()
            for field in self.draw_order
            for case in cases_of(field, self.dimensions[field])
            if not isinstance(dim := case.dimension, Fixed)
        }

    def draw(self, choose: Callable[[Case, Range | Choices], Value]) -> dict[str, Value]:
        """Values of the open fields that a point uses, each chosen by ``choose`` from its case.

        A field is chosen after the fields that it depends on.
        """
        values, drawn = dict(self._fixed), {}
        for field in self.draw_order:
            case = self.case_at(field, values)
            if case is None:
                values[field] = self._start(field, values)
            elif isinstance(case.dimension, Fixed):
                values[field] = case.dimension.value
            else:
                values[field] = drawn[field] = choose(case, case.dimension)
        return drawn

    def names_at(self, values: Mapping[str, object]) -> list[str]:
        """Names of the open dimensions that a point uses, given its values by these names.

        If a value is missing, conditions on it don't hold.
        """
        names = []

        def choose(case: Case, dim: Range | Choices) -> Value:
            names.append(case.name)
            return values.get(case.name)  # type: ignore[return-value]

        self.draw(choose)
        return names

    def nearest(
        self, point: TrialParams, *, native_image_size: Mapping[str, int]
    ) -> TrialParams | None:
        """The nearest point of this domain; None if the backbone of ``point`` is not allowed."""
        if point.backbone not in self.backbones:
            return None
        given = self._in_terms_of_domain(point, native_image_size)
        values = self.draw(lambda case, dim: dim.nearest(given[case.field]))
        return self.params(values, native_image_size=native_image_size)

    def sampler_values(
        self, point: TrialParams, *, native_image_size: Mapping[str, int]
    ) -> dict[str, Value]:
        """Values, by the names that samplers know, with which a sampler proposes ``point``.

        Fields that the point does not use are left out, and so are values outside their dimension.
        """
        given = self._in_terms_of_domain(point, native_image_size)
        cases = [case for field in self.draw_order if (case := self.case_at(field, given))]
        return {
            case.name: case.dimension.nearest(given[case.field])
            for case in cases
            if not isinstance(case.dimension, Fixed) and case.dimension.contains(given[case.field])
        }

    def open_values(
        self, point: TrialParams, *, native_image_size: Mapping[str, int]
    ) -> dict[str, Value]:
        """A point's values of the open fields, even if it does not use them."""
        given = self._in_terms_of_domain(point, native_image_size)
        return {field: given[field] for field in self.open}

    def unused_fields(self, point: TrialParams) -> frozenset[str]:
        """Fields that mean nothing in a point: without effect, or with no case that holds.

        A field that the point sets although no case holds does mean something.
        """
        values = self._in_terms_of_domain(point)
        inactive = {field for field in self.draw_order if self.case_of(field, values) is None}
        return point.without_effect | {f for f in inactive if values[f] == _DEFAULTS[f]}

    def params(
        self, values: Mapping[str, object], *, native_image_size: Mapping[str, int]
    ) -> TrialParams:
        """Complete `TrialParams`: ``values``, and the domain's defaults for the other fields.

        ``native_image_size`` has the input side of each backbone in pixels. Raises `SpaceError` if
        a name or a value is not valid.
        """
        complete = self.complete(values)
        if complete["image_size"] == NATIVE:
            complete["image_size"] = native_image_size[str(complete["backbone"])]
        return TrialParams.parse(complete)

    def complete(self, values: Mapping[str, object]) -> dict[str, object]:
        """``values``, and the defaults of the other fields, given those that they depend on.

        Raises `SpaceError` if a name is not valid.
        """
        given = with_current_names(values)
        for field in given:
            if field not in TrialParams.model_fields:
                raise SpaceError(unknown("parameter", field, TrialParams.model_fields))
        if given.get("head") == "solved":
            given = {**_PROBE, **given}
        complete: dict[str, object] = {**self._fixed, **given}
        for field in self.draw_order:
            if field not in given:
                complete[field] = self._start(field, complete)
        return complete

    def _start(self, field: str, values: Mapping[str, object]) -> Value:
        """Value of a field that a point does not set, given the fields that it depends on."""
        if field in _PROBE and values.get("head") == "solved":
            return _PROBE[field]
        case = self.case_of(field, values)
        return case.dimension.start if case else _DEFAULTS[field]

    def case_at(self, field: str, values: Mapping[str, object]) -> Case | None:
        """Case of a field in a point with these values; None if the point does not use it."""
        if field in NO_EFFECT:
            other, value = NO_EFFECT[field]
            if values.get(other) == value:
                return None
        return self.case_of(field, values)

    def case_of(self, field: str, values: Mapping[str, object]) -> Case | None:
        """The first case of a field whose condition holds, with effect or not; None if none."""
        cases = cases_of(field, self.dimensions[field])
        return next((case for case in cases if not case.when or case.when.holds(values)), None)

    def _in_terms_of_domain(
        self, point: TrialParams, native_image_size: Mapping[str, int] | None = None
    ) -> dict[str, Value]:
        """Values of a point, with `NATIVE` for an image size that the domain calls so.

        Without ``native_image_size``, that is any size that the domain does not list.
        """
        values: dict[str, Value] = point.model_dump()
        case = self.case_of("image_size", values)
        is_listed = case is not None and case.dimension.contains(point.image_size)
        sizes = native_image_size or {point.backbone: point.image_size}
        if not is_listed and point.image_size == sizes.get(point.backbone):
            values["image_size"] = NATIVE
        return values


def with_defaults(
    dimensions: Mapping[str, AnyDimension | Conditional],
) -> dict[str, AnyDimension | Conditional]:
    """Dimensions of all fields: those that ``dimensions`` lacks are fixed at their defaults."""
    return {field: Fixed(value=value) for field, value in _DEFAULTS.items()} | dict(dimensions)
