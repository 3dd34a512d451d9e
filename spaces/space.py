"""`SearchSpace`: the domain of a search, and the points to try first."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from spaces.conditional import Conditional
from spaces.dimension import AnyDimension, Fixed, Value, dimension_of, to_field_type
from spaces.domain import Domain, with_defaults
from spaces.errors import SpaceError, unknown
from spaces.params import (
    EARLIER_VALUES,
    NO_EFFECT,
    TrialParams,
    with_current_names,
    without_hub_prefix,
)
from spaces.space_checks import check_conditions, check_space, refused_fields
from spaces.space_file import read_dimensions, read_space_file

_KINDS = ("backbone", "head")
"""Fields of which a start for one value says nothing about others."""

_DEFAULT_RECIPES: tuple[Mapping[str, Value], ...] = ({"head": "solved"}, {})
"""Points to try first in a space that has no starts."""


class SearchSpace(Domain):
    """A `Domain` with a name, and starting points. Immutable.

    Raises `SpaceError` with every problem, a sentence each.
    """

    def __init__(
        self,
        dimensions: Mapping[str, AnyDimension | Conditional],
        *,
        name: str,
        doc: str = "",
        recipes: Sequence[Mapping[str, Value]] = (),
    ) -> None:
        super().__init__(dimensions)
        self.name = name
        self.doc = doc
        self.recipes = tuple(recipes)
        """Points to try first, each with every backbone: the ``starts`` of a TOML file."""
        check_space(self, self.recipes, name=name)

    @classmethod
    def load(cls, name: str) -> "SearchSpace":
        """Read a preset by its name, or a TOML file or a sweep's ``space.json`` by its path.

        Raises `SpaceError` if the space does not exist or is not valid.
        """
        recorded = name.endswith(".json")
        name, table = read_space_file(name)
        return cls.from_table(table, name=name, recorded=recorded)

    def to_table(self) -> dict[str, object]:
        """Table for a ``space.json``: the one that `from_table` reads, with the name added."""
        dimensions = {
            field: dim.to_table() if isinstance(dim, Conditional) else dim.model_dump()
            for field, dim in self.dimensions.items()
        }
        return {"name": self.name, "starts": list(self.recipes), **dimensions}

    @classmethod
    def from_table(
        cls, table: Mapping[str, object], *, name: str, recorded: bool = False
    ) -> "SearchSpace":
        """Space from a table that gives for each field a value, or a table of bounds.

        The entry ``starts`` is a list of points, each a table of values by field. With
        ``recorded``, a sweep has written the table: fields that it fixed may have left conditions
        that never hold, which is a mistake elsewhere. Raises `SpaceError` with every problem.
        """
        fields = {key: entry for key, entry in table.items() if key not in ("doc", "starts")}
        fields = {**EARLIER_VALUES, **fields} if recorded else fields
        doc, starts = str(table.get("doc", "")), table.get("starts", [])
        if not (isinstance(starts, list) and all(isinstance(start, dict) for start in starts)):
            raise SpaceError(
                "starts must be a list of points; write [[starts]] above the values of each point."
            )
        dimensions, problems = read_dimensions(without_hub_prefix(fields))
        if problems:
            raise SpaceError.of(problems)
        recipes = [
            {
                f: to_field_type(value, f)
                for f, value in with_current_names(without_hub_prefix(start)).items()
            }
            for start in starts
        ]
        if not recorded:
            check_conditions(with_defaults(dimensions))
        return cls(dimensions, name=name, doc=doc, recipes=recipes)

    def with_fixed(self, **values: Value) -> "SearchSpace":
        """Copy of this space with some fields fixed, and with those that then have no effect.

        Starts of another backbone or kind of head than the fixed one are dropped. The others keep
        the values that are still allowed. Raises `SpaceError` if a name or a value is not valid.
        """
        values = without_hub_prefix(values)
        if strange := [field for field in values if field not in self.dimensions]:
            raise SpaceError.of(unknown("parameter", f, self.dimensions) for f in strange)
        fixed = {field: dimension_of(field, value) for field, value in values.items()}
        dimensions = {**self.dimensions, **fixed}
        for field, (other, value) in NO_EFFECT.items():
            if dimensions[other] == dimension_of(other, value):
                dimensions[field] = Fixed(value=dimensions[field].start)
        decided = SearchSpace(dimensions, name=self.name, doc=self.doc)
        asked = self.recipes or (_DEFAULT_RECIPES if "head" in values else ())
        kept = [
            recipe
            for recipe in asked
            if all(recipe[f] == values[f] for f in _KINDS if f in recipe and f in values)
        ]
        recipes = [
            _allowed_part({f: v for f, v in recipe.items() if f not in values}, decided)
            for recipe in kept
        ]
        return SearchSpace(decided.dimensions, name=self.name, doc=self.doc, recipes=recipes)

    def with_backbones(self, names: Sequence[str]) -> "SearchSpace":
        """Copy of this space with these backbones, without the starts of any other."""
        backbone = dimension_of("backbone", {"choices": list(names)})
        dimensions = {**self.dimensions, "backbone": backbone}
        decided = SearchSpace(dimensions, name=self.name, doc=self.doc)
        kept = [each for each in self.recipes if each.get("backbone", names[0]) in names]
        recipes = [_allowed_part(each, decided) for each in kept]
        return SearchSpace(dimensions, name=self.name, doc=self.doc, recipes=recipes)

    def initial_points(self, *, native_image_size: Mapping[str, int]) -> list[TrialParams]:
        """Points to try first: the recipes, each with every backbone.

        Linear probes come first. Then the recipes take turns, so that a short search tries each of
        them once before it tries one with another backbone. Without recipes, every backbone is
        tried as a linear probe, which is cheap, and then at the defaults.
        """
        by_recipe = [
            [
                self._initial_point(recipe, backbone, native_image_size)
                for backbone in self.backbones
            ]
            for recipe in self.recipes or _DEFAULT_RECIPES
        ]
        unique = [list(dict.fromkeys(points)) for points in by_recipe]
        probes = [p for points in unique for p in points if p.head == "solved"]
        trained = [[p for p in points if p.head == "trained"] for points in unique]
        turns = [p for turn in zip_longest(*trained) for p in turn if p is not None]
        return list(dict.fromkeys([*probes, *turns]))

    def _initial_point(
        self, recipe: Mapping[str, Value], backbone: str, native_image_size: Mapping[str, int]
    ) -> TrialParams:
        """A recipe with a backbone; a value that is not allowed there gives way to the nearest."""
        point = self.params({"backbone": backbone, **recipe}, native_image_size=native_image_size)
        if point.head == "solved":
            return point
        return self.nearest(point, native_image_size=native_image_size) or point


def _allowed_part(recipe: Mapping[str, Value], domain: Domain) -> dict[str, Value]:
    """A recipe of another space, without the values that ``domain`` refuses."""
    allowed = dict(recipe)
    while refused := refused_fields(domain, allowed):
        del allowed[refused[0]]  # one by one: others may then be allowed
    return allowed
