"""Errors of users and runs. Their sentences give the rule, the wrong value and the remedy.

UserError             a mistake of the user, found before anything runs; exit status 2
├── ConfigError       a setting of the sweep, a flag or a named file
├── SpaceError        a search space or a parameter point
├── DataError         the images, their labels or their split
└── WeightsError      pretrained weights that are unavailable
RunError              a run without a usable result; exit status 1
"""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError

_MOST_LISTED = 500
"""Largest number of valid names that a sentence lists."""


class UserError(ValueError):
    """A mistake that the user can correct. Its text has a line for each problem."""

    @classmethod
    def of(cls, problems: Iterable[str]) -> "UserError":
        """One error for all problems, with a line for each."""
        return cls("\n".join(problems))


class ConfigError(UserError):
    """A setting is wrong."""


class SpaceError(UserError):
    """A search space or a parameter point is wrong."""


class DataError(UserError):
    """The images, their labels or their split are wrong."""


class WeightsError(UserError):
    """Pretrained weights are unavailable."""


class RunError(RuntimeError):
    """A run gave no usable result, though its settings are right."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """Sentence that reports an unknown ``name`` and suggests similar valid names, or lists all.

    Of more than `_MOST_LISTED` names, the five nearest are suggested, however far they are.
    """
    valid = list(valid)
    nearest = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    if not nearest and len(valid) > _MOST_LISTED:
        nearest = difflib.get_close_matches(name, valid, n=5, cutoff=0)
    if nearest:
        return f"Unknown {kind} {name!r}; did you mean {' or '.join(map(repr, nearest))}?"
    return f"Unknown {kind} {name!r}; valid names: {', '.join(sorted(valid))}."


def sentences(error: ValidationError, fields: Iterable[str], kind: str) -> list[str]:
    """One sentence for each problem that pydantic found.

    ``fields`` are the valid dotted names; ``kind`` is the noun for them, such as "setting".
    """
    known = list(fields)
    lines = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(unknown(kind, name, known))
        elif problem["type"] == "missing":
            lines.append(f"The {kind} {name!r} is missing; give it a value.")
        elif problem["type"] == "value_error":
            text = str(problem["ctx"]["error"])
            lines.append(f"{name}: {text}" if name else text)
        else:
            rule = problem["msg"].removeprefix("Input ").rstrip(".")
            lines.append(f"{name} {rule}, not {problem['input']!r}.")
    return lines


def first_line(error: Exception) -> str:
    """First line of an error's message; the name of its class if the message is empty."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
