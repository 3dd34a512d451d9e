"""Work done a step ahead of whoever needs it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_A = TypeVar("_A")
_B = TypeVar("_B")


def prefetched(make: Callable[[_A], _B], given: Iterable[_A]) -> Iterator[_B]:
    """``make`` of each in turn: in a thread, the next one while the last is in use."""
    with ThreadPoolExecutor(1) as pool:
        coming: Future[_B] | None = None
        for one in given:
            ready, coming = coming, pool.submit(make, one)
            if ready is not None:
                yield ready.result()
        if coming is not None:
            yield coming.result()
