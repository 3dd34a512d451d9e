from pathlib import Path

import pytest

from tests.support.user_mistakes import CASES, TABLE, Case, answer, as_table


def test_there_are_more_than_a_hundred_cases_each_with_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 109


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_mistake_gets_the_message_in_the_table(case: Case, tmp_path: Path) -> None:
    status, text = answer(case, tmp_path)
    assert status == 2, text
    assert "Traceback" not in text
    (row,) = [
        line for line in TABLE.read_text().splitlines() if line.startswith(f"| {case.name} |")
    ]
    assert row in as_table({case.name: (case, text)})
    begun = {path.name for path in (tmp_path / "results").glob("*")} - {"s"}
    assert not begun, "nothing is spent on a mistake"
