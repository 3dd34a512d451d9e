"""Progress callbacks for steps that take long."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Progress callback ``progress(step, done, total)``, where a ``total`` of 0 means unknown."""


def ignore_progress(step: str, done: int, total: int) -> None:
    """`Progress` callback that does nothing."""
