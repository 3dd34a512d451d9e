from collections.abc import Iterator

import pytest

from trainables.inputs.prefetch import prefetched


def test_results_come_in_order() -> None:
    assert list(prefetched(lambda number: number**2, range(5))) == [0, 1, 4, 9, 16]
    assert list(prefetched(str, [])) == []


def test_the_next_item_is_taken_before_the_current_result_is_returned() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    results = prefetched(lambda number: number, numbers())
    assert next(results) == 0
    assert taken == [0, 1]
    assert list(results) == [1, 2]


def test_an_error_is_raised_in_place_of_its_result() -> None:
    def inverse(number: int) -> float:
        return 1 / number

    results = prefetched(inverse, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
