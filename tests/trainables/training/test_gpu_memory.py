import json
from pathlib import Path

import pytest
import torch

from trainables.inputs import run_by_halves
from trainables.training import MemoryTable


def test_what_does_not_fit_runs_in_the_largest_halves_that_do() -> None:
    sizes: list[int] = []

    def fits_four(some: slice) -> int:
        numbers = range(10)[some]
        sizes.append(len(numbers))
        if len(numbers) > 4:
            raise torch.OutOfMemoryError("11 MiB")
        return sum(numbers)

    assert sum(run_by_halves(fits_four, 0, 10)) == 45
    assert sizes == [10, 5, 3, 2, 5, 3, 2]


def test_an_image_that_does_not_fit_alone_is_an_error() -> None:
    def never_fits(some: slice) -> None:
        raise torch.OutOfMemoryError("11 MiB")

    with pytest.raises(torch.OutOfMemoryError):
        run_by_halves(never_fits, 0, 3)


def test_a_table_keeps_what_each_card_was_measured_to_need(tmp_path: Path) -> None:
    table = MemoryTable.of(tmp_path / "cache")
    assert table.read("A Card") == {}
    table.put("A Card", "a case", 4000.04)
    table.put("Another", "a case", 500)
    table.raise_estimate("A Card", "a case")
    table.raise_estimate("A Card", "one that was never measured")
    assert table.read("A Card") == {"a case": 6000.0}
    assert MemoryTable.of(tmp_path / "cache").read("Another") == {"a case": 500.0}
    assert json.loads(table.file.read_text()).keys() == {"A Card", "Another"}
