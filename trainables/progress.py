"""What somebody who waits is told."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is, and of how much; of 0 if nobody knows."""


def ignore_progress(what: str, done: int, total: int) -> None:
    """Tell nobody."""
