"""Wording of counts and lists in messages."""

from collections.abc import Sequence

MAX_NAMED = 5
"""Largest number of examples in one message."""
_MAX_CHARACTERS = 60
"""Length that a name is cut to."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Number with its noun: "1 trial", "2 trials". The default plural is ``noun`` with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def name_some(names: Sequence[object], limit: int = MAX_NAMED) -> str:
    """List of the first names, such as "a, b and 12 more". Cuts long names."""
    shown = [shorten(str(name)) for name in names[:limit]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def shorten(text: str) -> str:
    """Text on one line, cut in the middle to 60 characters."""
    line = " ".join(text.split())
    if len(line) <= _MAX_CHARACTERS:
        return line
    half = (_MAX_CHARACTERS - 3) // 2
    return f"{line[:half]}...{line[-half:]}"
