"""Retry of work that runs out of GPU memory, on half as many images."""

from collections.abc import Callable
from typing import TypeVar

import torch

_T = TypeVar("_T")


def run_by_halves(run: Callable[[slice], _T], start: int, stop: int) -> list[_T]:
    """Results of ``run`` on a range of images: one result, or several if memory runs out.

    A range that does not fit the memory is halved until its parts fit. The results are in order.
    Raises `torch.OutOfMemoryError` if a single image does not fit.
    """
    try:
        return [run(slice(start, stop))]
    except torch.OutOfMemoryError:
        if stop - start < 2:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = (start + stop + 1) // 2
    return run_by_halves(run, start, middle) + run_by_halves(run, middle, stop)
