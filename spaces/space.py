"""`SearchSpace`: a dimension for every field of `TrialParams`, and starting points."""

import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from spaces.dimension import AnyDimension, Choices, Fixed, Range, Value, dimension_of, to_field_type
from spaces.errors import SpaceError, sentences, unknown
from spaces.params import TrialParams, batchnorm_of_old, with_current_names

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

NATIVE = "native"
"""Value of image_size that stands for each backbone's own input size, as in timm."""

PRESETS = Path(__file__).parent / "presets"


_INACTIVE = {
    "backbone_lr_scale": ("unfreeze", 0),
    "layer_decay": ("unfreeze", 0),
    "gradual_unfreezing": ("unfreeze", 0),
    "head_activation": ("head_hidden", 0),
}
"""Field: (other field, value). The field has no effect if the other field has this value."""


_PROBE = {"unfreeze": 0.0, "augment": 0.0, "head_hidden": 0}
"""Values that a linear probe needs, whatever the space allows."""


class SearchSpace:
    """Named dimensions, one for each field of `TrialParams`, and starting points. Immutable.

    Optuna samples from `distributions`. A field that ``dimensions`` lacks is fixed at its default;
    the default of image_size is each backbone's native size.

    Raises `SpaceError` with every problem, a sentence each.
    """

    def __init__(
        self,
        dimensions: Mapping[str, AnyDimension],
        *,
        name: str,
        doc: str = "",
        recipes: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        self.name = name
        self.doc = doc
        self.recipes = tuple(recipes)
        """Points to try first, each with every backbone: the ``starts`` of a TOML file."""
        defaults = {
            field: Fixed(value=info.default)
            for field, info in TrialParams.model_fields.items()
            if not info.is_required()
        }
        defaults["image_size"] = Fixed(value=NATIVE)
        self.dimensions: dict[str, AnyDimension] = {**defaults, **dimensions}
        self._check()

    @classmethod
    def load(cls, name: str) -> "SearchSpace":
        """Read a preset by its name, or a TOML file or a sweep's ``space.json`` by its path.

        Raises `SpaceError` if the space does not exist or is not valid.
        """
        path = Path(name)
        if path.suffix not in (".toml", ".json"):
            presets = preset_names()
            if name not in presets:
                file = path.with_name(path.name + ".toml")
                hint = f" To load the file {file}, add .toml." if file.exists() else ""
                raise SpaceError(unknown("space preset", name, presets) + hint)
            path = PRESETS / f"{name}.toml"
        try:
            text = path.read_text(encoding="utf-8")
            table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except FileNotFoundError:
            raise SpaceError(f"The space file {path} does not exist.") from None
        except ValueError as error:
            kind = path.suffix[1:].upper()
            raise SpaceError(f"The space file {path} is not valid {kind}: {error}.") from None
        if not isinstance(table, dict):
            raise SpaceError(f"The space file {path} must hold a table of parameters.")
        name = str(table.pop("name")) if path.suffix == ".json" and "name" in table else path.stem
        return cls.from_table(table, name=name)

    def to_table(self) -> dict[str, object]:
        """Table for a ``space.json``: the one that `from_table` reads, with the name added."""
        dimensions = {field: dim.model_dump() for field, dim in self.dimensions.items()}
        return {"name": self.name, "starts": list(self.recipes), **dimensions}

    @classmethod
    def from_table(cls, table: dict[str, object], *, name: str) -> "SearchSpace":
        """Space from a table that gives for each field a value, or a table of bounds.

        The entry ``starts`` is a list of points, each a table of values by field. Raises
        `SpaceError` with every problem.
        """
        table = _with_batchnorm(dict(table))
        doc, starts = str(table.pop("doc", "")), table.pop("starts", [])
        dimensions: dict[str, AnyDimension] = {}
        problems = []
        if not (isinstance(starts, list) and all(isinstance(start, dict) for start in starts)):
            raise SpaceError(
                "starts must be a list of points; write [[starts]] above the values of each point."
            )
        for field, entry in table.items():
            if field not in TrialParams.model_fields:
                problems.append(unknown("parameter", field, TrialParams.model_fields))
                continue
            if isinstance(entry, list):
                problems.append(
                    f"{field} is a list; write a table with low and high, or with choices."
                )
                continue
            try:
                dimensions[field] = dimension_of(field, entry)
            except ValidationError as error:
                names = [*Range.model_fields, *Choices.model_fields, "value"]
                problems += [f"{field}: {line}" for line in sentences(error, names, "bound")]
        if problems:
            raise SpaceError.of(problems)
        recipes = [
            {f: to_field_type(value, f) for f, value in with_current_names(start).items()}
            for start in starts
        ]
        return cls(dimensions, name=name, doc=doc, recipes=recipes)

    def with_fixed(self, **values: Value) -> "SearchSpace":
        """Copy of this space with some fields fixed."""
        fixed = {field: Fixed(value=value) for field, value in values.items()}
        rest = [{f: v for f, v in recipe.items() if f not in values} for recipe in self.recipes]
        dimensions = {**self.dimensions, **fixed}
        return SearchSpace(dimensions, name=self.name, doc=self.doc, recipes=rest)

    @property
    def open(self) -> dict[str, Range | Choices]:
        """The dimensions that vary."""
        return {f: d for f, d in self.dimensions.items() if not isinstance(d, Fixed)}

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of all backbones that a trial can have."""
        return tuple(str(value) for value in self.dimensions["backbone"].extremes)

    def backbone_sizes(self, native_image_size: Mapping[str, int]) -> list[tuple[str, int]]:
        """All pairs of a backbone and an image size in pixels that a trial can have."""
        sizes = self.dimensions["image_size"].extremes
        pairs = [
            (backbone, native_image_size[backbone] if size == NATIVE else int(size))
            for backbone in self.backbones
            for size in sizes
        ]
        return list(dict.fromkeys(pairs))

    def distributions(self) -> "dict[str, BaseDistribution]":
        """The open dimensions as Optuna's distributions."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        distributions: dict[str, BaseDistribution] = {}
        for field, dim in self.open.items():
            if isinstance(dim, Choices):
                distributions[field] = CategoricalDistribution(dim.choices)
            elif dim.is_integer:
                low, high = int(dim.low), int(dim.high)
                distributions[field] = IntDistribution(
                    low, high, log=dim.log, step=int(dim.step or 1)
                )
            else:
                distributions[field] = FloatDistribution(
                    dim.low, dim.high, log=dim.log, step=dim.step
                )
        return distributions

    def grid(self) -> list[dict[str, object]]:
        """All combinations of the open dimensions.

        Raises `SpaceError` if `Range.values` of a dimension is empty.
        """
        infinite = [f for f, d in self.open.items() if isinstance(d, Range) and not d.values]
        if infinite:
            raise SpaceError(
                f"A grid needs choices or steps, but the space {self.name!r} has neither for "
                f"{', '.join(infinite)}; give choices or a step."
            )
        values = [d.choices if isinstance(d, Choices) else d.values for d in self.open.values()]
        return [dict(zip(self.open, point, strict=True)) for point in itertools.product(*values)]

    def initial_points(self, *, native_image_size: Mapping[str, int]) -> "list[TrialParams]":
        """Points to try first: the recipes, each with every backbone.

        Without recipes, every backbone is tried as a linear probe, which is cheap, and then at the
        defaults.
        """
        recipes = self.recipes or ({"head": "solved"}, {})
        points = [
            self.params({"backbone": backbone, **recipe}, native_image_size=native_image_size)
            for recipe in recipes
            for backbone in self.backbones
        ]
        return list(dict.fromkeys(points))

    def nearest(
        self, point: "TrialParams", *, native_image_size: Mapping[str, int]
    ) -> "TrialParams | None":
        """Point of this space that is nearest to ``point``; None if its backbone is not allowed."""
        if point.backbone not in self.backbones:
            return None
        values = {field: dim.nearest(getattr(point, field)) for field, dim in self.open.items()}
        return self.params(values, native_image_size=native_image_size)

    def sampler_values(
        self, point: "TrialParams", *, native_image_size: Mapping[str, int]
    ) -> dict[str, object]:
        """Values of the open fields with which a sampler proposes ``point``.

        Fields whose value is outside their dimension are left out.
        """
        values = {field: getattr(point, field) for field in self.open}
        sizes = self.open.get("image_size")
        native = native_image_size.get(point.backbone)
        if sizes and not sizes.contains(point.image_size) and point.image_size == native:
            values["image_size"] = NATIVE
        return {f: value for f, value in values.items() if self.open[f].contains(value)}

    def params(
        self, values: Mapping[str, object], *, native_image_size: Mapping[str, int]
    ) -> TrialParams:
        """Complete `TrialParams`: ``values``, and the space's defaults for the other fields.

        ``native_image_size`` has the input side of each backbone in pixels. Raises `SpaceError` if
        a name or a value is not valid.
        """
        values = with_current_names(values)
        for field in values:
            if field not in TrialParams.model_fields:
                raise SpaceError(unknown("parameter", field, TrialParams.model_fields))
        complete: dict[str, object] = {f: dim.start for f, dim in self.dimensions.items()}
        if values.get("head") == "solved":
            complete |= _PROBE
        complete.update(values)
        if complete["image_size"] == NATIVE:
            complete["image_size"] = native_image_size[str(complete["backbone"])]
        return TrialParams.parse(complete)

    def _check(self) -> None:
        problems = []
        if "backbone" not in self.dimensions:
            raise SpaceError(f"The space {self.name!r} names no backbone; add backbone.choices.")
        for field in ("backbone", "image_size"):  # a sweep prepares every value before it starts
            if isinstance(self.dimensions[field], Range):
                raise SpaceError(f"{field} needs choices or a value, not a range.")
        start = {f: d.start for f, d in self.dimensions.items()}
        for field, dim in self.dimensions.items():
            for value in dict.fromkeys((*dim.extremes, dim.start)):
                if field == "image_size" and value == NATIVE:
                    continue
                try:
                    TrialParams.parse({**start, "image_size": 224, field: value})
                except SpaceError as error:
                    problems += [p for p in str(error).splitlines() if p.startswith(field)]
        for field, dim in self.open.items():
            whole = TrialParams.model_fields[field].annotation is int
            if whole and isinstance(dim, Range) and not dim.is_integer:
                problems.append(f"{field} needs whole bounds, not {dim.low} and {dim.high}.")
        for field, (other, inactive_at) in _INACTIVE.items():
            cause = self.dimensions[other]
            if field in self.open and isinstance(cause, Fixed) and cause.value == inactive_at:
                problems.append(
                    f"{field} varies but {other} is fixed at {inactive_at}, so {field} has no "
                    f"effect; fix {field} or let {other} vary."
                )
        for recipe in self.recipes:
            for field, value in recipe.items():
                if field not in self.dimensions:
                    problems.append(f"starts: {unknown('parameter', field, self.dimensions)}")
                elif field == "head" and value == "solved":  # a probe is a start in every space
                    continue
                elif not self.dimensions[field].contains(value):
                    problems.append(
                        f"starts: {field} can't be {value} in this space; give an allowed value or "
                        f"leave {field} out."
                    )
        if problems:
            raise SpaceError.of(dict.fromkeys(problems))


def _with_batchnorm(table: dict[str, object]) -> dict[str, object]:
    """Table of an earlier version, with its ``freeze_batchnorm`` as ``batchnorm``."""
    old = table.pop("freeze_batchnorm", None)
    if old is None:
        return table
    bounds = dict(old) if isinstance(old, dict) else {"value": old}
    for key, value in bounds.items():
        if isinstance(value, list | tuple):
            bounds[key] = [batchnorm_of_old(each) for each in value]
        else:
            bounds[key] = batchnorm_of_old(value)
    return {**table, "batchnorm": bounds}


def preset_names() -> list[str]:
    """Names of the spaces that come with Finesweep."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))
