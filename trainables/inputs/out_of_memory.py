"""Work that does not fit a GPU's memory is done in halves."""

from collections.abc import Callable
from typing import TypeVar

import torch

_T = TypeVar("_T")


def run_by_halves(run: Callable[[slice], _T], start: int, stop: int) -> list[_T]:
    """``run`` on a range of images or, where that doesn't fit the memory, on its halves in turn."""
    try:
        return [run(slice(start, stop))]
    except torch.OutOfMemoryError:
        if stop - start < 2:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (start + stop + 1) // 2
    return run_by_halves(run, start, middle) + run_by_halves(run, middle, stop)
