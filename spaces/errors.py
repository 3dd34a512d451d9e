"""What can go wrong, each told in one sentence: the rule, the value, the way out.

UserError             a mistake of the user, found before anything is spent; exit status 2
├── ConfigError       a setting of the sweep, a flag, a file that was named
├── SpaceError        a search space or a parameter point
├── DataError         the images, their labels or their split
└── WeightsError      pretrained weights that can't be had
RunError              a run that came to nothing usable; exit status 1
"""

import difflib
from collections.abc import Iterable

from pydantic import ValidationError


class UserError(ValueError):
    """Something the user can mend; its text is one sentence a problem, a line each."""

    @classmethod
    def of(cls, problems: Iterable[str]) -> "UserError":
        """All problems at once, a line each."""
        return cls("\n".join(problems))


class ConfigError(UserError):
    """A setting is wrong."""


class SpaceError(UserError):
    """A search space or a parameter point is wrong."""


class DataError(UserError):
    """The images, their labels or their split are wrong."""


class WeightsError(UserError):
    """Pretrained weights can't be had."""


class RunError(RuntimeError):
    """A run came to nothing usable, through no mistake in its settings."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """The sentence for an unknown ``name``: the nearest valid ones, else all of them."""
    valid = list(valid)
    near = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    if near:
        return f"Unknown {kind} {name!r}; did you mean {' or '.join(map(repr, near))}?"
    return f"Unknown {kind} {name!r}; known are {', '.join(sorted(valid))}."


def sentences(error: ValidationError, fields: Iterable[str], kind: str) -> list[str]:
    """Pydantic's findings as sentences of ours, one a problem.

    ``fields`` are the dotted names that exist; ``kind`` is what they are: "setting", "parameter".
    """
    known = list(fields)
    found = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            found.append(unknown(kind, name, known))
        elif problem["type"] == "missing":
            found.append(f"The {kind} {name!r} is missing; give it a value.")
        elif problem["type"] == "value_error":
            text = str(problem["ctx"]["error"])
            found.append(f"{name}: {text}" if name else text)
        else:
            rule = problem["msg"].removeprefix("Input ").rstrip(".")
            found.append(f"{name} {rule}, not {problem['input']!r}.")
    return found


def first_line(error: Exception) -> str:
    """What an error of others says, shortly: some go on for long, some say nothing."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
