import pytest
import torch

from trainables.inputs import run_by_halves


def test_a_batch_that_exceeds_the_memory_is_halved_until_it_fits() -> None:
    sizes: list[int] = []

    def fits_four(part: slice) -> int:
        numbers = range(10)[part]
        sizes.append(len(numbers))
        if len(numbers) > 4:
            raise torch.OutOfMemoryError("11 MiB")
        return sum(numbers)

    assert sum(run_by_halves(fits_four, 0, 10)) == 45
    assert sizes == [10, 5, 3, 2, 5, 3, 2]


def test_an_image_that_does_not_fit_alone_is_an_error() -> None:
    def never_fits(part: slice) -> None:
        raise torch.OutOfMemoryError("11 MiB")

    with pytest.raises(torch.OutOfMemoryError):
        run_by_halves(never_fits, 0, 3)
