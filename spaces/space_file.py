"""Space files: the table of a TOML or JSON file, and the dimensions of its entries."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spaces.conditional import Condition, Conditional
from spaces.dimension import AnyDimension, Choices, Range, dimension_of
from spaces.errors import SpaceError, sentences, unknown
from spaces.known_backbones import CostBounds
from spaces.params import TrialParams, batchnorm_of_old

PRESETS = Path(__file__).parent / "presets"

_BOUNDS = [*Range.model_fields, *Choices.model_fields, *CostBounds.model_fields]
_BOUNDS += ["value", "when", "cases"]
"""Keys of a field's table."""


def preset_names() -> list[str]:
    """Names of the spaces that come with Finesweep."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_space_file(name: str) -> tuple[str, dict[str, object]]:
    """Name and table of a preset, given by its name, or of a TOML or JSON file, given by its path.

    Raises `SpaceError` if there is no such space, or if the file can't be parsed.
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
    return name, table


def read_dimensions(
    table: Mapping[str, object],
) -> tuple[dict[str, AnyDimension | Conditional], list[str]]:
    """Dimensions of the fields of a table, and a sentence for each entry that is wrong."""
    dimensions: dict[str, AnyDimension | Conditional] = {}
    problems = []
    for field, entry in _with_batchnorm(table).items():
        if field not in TrialParams.model_fields:
            problems.append(unknown("parameter", field, TrialParams.model_fields))
            continue
        try:
            dimensions[field] = read_dimension(field, entry)
        except ValidationError as error:
            problems += [f"{field}: {line}" for line in sentences(error, _BOUNDS, "bound")]
        except SpaceError as error:
            problems += str(error).splitlines()
    return dimensions, problems


def read_dimension(field: str, entry: object) -> AnyDimension | Conditional:
    """Dimension of a field, from a value, a table of bounds, or a table with conditions.

    Raises `SpaceError` or pydantic's `ValidationError`.
    """
    if isinstance(entry, list):
        raise SpaceError(f"{field} is a list; write a table with low and high, or with choices.")
    if not isinstance(entry, dict) or not ("when" in entry or "cases" in entry):
        return dimension_of(field, entry)
    bounds, cases = dict(entry), entry.get("cases", [])
    bounds.pop("cases", None)
    if not (isinstance(cases, list) and all(isinstance(c, dict) and "when" in c for c in cases)):
        raise SpaceError(
            f"cases of {field} must be tables with a condition each; write [[{field}.cases]] above "
            "when = { ... } and the bounds of each case."
        )
    pairs = [_read_case(field, case) for case in [*cases, bounds] if case.keys() - {"reason"}]
    conditions = [str(when) for when, _ in pairs]
    if repeated := [each for each in dict.fromkeys(conditions) if conditions.count(each) > 1]:
        raise SpaceError(
            f"{field} has two cases for {repeated[0]}, and the second would never hold; drop one."
        )
    return Conditional.of(field, pairs)


def _read_case(field: str, table: dict[str, Any]) -> tuple[Condition | None, AnyDimension]:
    """Condition and dimension of one case; the condition is None if the table has no ``when``."""
    bounds = dict(table)
    when = bounds.pop("when", None)
    if when is None:
        return None, dimension_of(field, bounds)
    if not isinstance(when, dict) or not when:
        raise SpaceError(
            f'when of {field} must name other parameters, like when = {{ optimizer = "sgd" }}, not '
            f"{when!r}."
        )
    for other in when:
        if other not in TrialParams.model_fields:
            raise SpaceError(
                f"when of {field}: {unknown('parameter', other, TrialParams.model_fields)}"
            )
    if not bounds:
        raise SpaceError(f"A case of {field} has no values; give low and high, choices or a value.")
    return Condition.parse(when), dimension_of(field, bounds)


def _with_batchnorm(table: Mapping[str, object]) -> dict[str, object]:
    """Table of an earlier version, with its ``freeze_batchnorm`` as ``batchnorm``."""
    current = dict(table)
    old = current.pop("freeze_batchnorm", None)
    if old is None:
        return current
    bounds = dict(old) if isinstance(old, dict) else {"value": old}
    for key, value in bounds.items():
        if isinstance(value, list | tuple):
            bounds[key] = [batchnorm_of_old(each) for each in value]
        else:
            bounds[key] = batchnorm_of_old(value)
    return {**current, "batchnorm": bounds}
