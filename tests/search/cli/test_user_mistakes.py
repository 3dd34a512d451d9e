from pathlib import Path

import pytest

from tests.support.user_mistakes import CASES, TABLE, Case, answer, as_table


def test_there_are_sixty_and_no_two_of_one_name() -> None:
    assert len({case.what for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_a_mistake_is_told_as_the_table_says(case: Case, tmp_path: Path) -> None:
    before = {"data", "space.toml", "cache"}
    status, said = answer(case, tmp_path)
    assert status == 2, said
    assert "Traceback" not in said
    (row,) = [
        line for line in TABLE.read_text().splitlines() if line.startswith(f"| {case.what} |")
    ]
    assert row in as_table({case.what: (case, said)})
    made = {path.name for path in (tmp_path / "results").glob("*")} - {"s"}
    assert not made, f"nothing was begun, but for {before}"
