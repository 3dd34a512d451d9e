"""Patterns of `--ignore`: which files, folders and rows of a source the user leaves out."""

from collections.abc import Sequence
from fnmatch import fnmatchcase


class IgnorePatterns:
    """Glob patterns over paths relative to a source's folder, with "/" between their parts.

    A pattern without "/" matches a name at any depth; one with "/" matches a whole path; "**"
    stands for any folders. Remembers which patterns have matched a path.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = {pattern: _pattern_parts(pattern) for pattern in patterns}
        self._used: set[str] = set()

    @property
    def idle(self) -> tuple[str, ...]:
        """Patterns that no path has matched so far."""
        return tuple(pattern for pattern in self._patterns if pattern not in self._used)

    def match(self, path: str) -> bool:
        """Whether a pattern matches ``path`` itself."""
        parts = path.split("/")
        matching = [p for p, pattern in self._patterns.items() if _matches(parts, pattern)]
        self._used.update(matching)
        return bool(matching)

    def match_within(self, path: str) -> bool:
        """Whether a pattern matches ``path``, or a folder that holds it."""
        parts = path.split("/")
        matches = [self.match("/".join(parts[:k])) for k in range(1, len(parts) + 1)]
        return any(matches)


def _pattern_parts(pattern: str) -> list[str]:
    parts = pattern.removeprefix("./").strip("/").split("/")
    return ["**", *parts] if len(parts) == 1 and not pattern.startswith(("/", "./")) else parts


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern, in which "**" is any number of them."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[k:], pattern[1:]) for k in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])
