"""Prefetching: the next item is made while the current one is in use."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


def prefetched(make: Callable[[_A], _B], arguments: Iterable[_A]) -> Iterator[_B]:
    """Results of ``make`` in order, each made in a thread while the one before is in use.

    An exception in ``make`` is raised when its result would be yielded.
    """
    with ThreadPoolExecutor(1) as pool:
        following: Future[_B] | None = None
        for argument in arguments:
            current, following = following, pool.submit(make, argument)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()
