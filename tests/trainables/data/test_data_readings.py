from pathlib import Path

import pytest

from tests.support.data_readings import CASES, NOT_YET, TABLE, can_be_tried, read
from tests.support.reading_case import Case


def test_there_are_more_than_two_hundred_cases_each_with_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert {case.name for case in CASES} >= set(NOT_YET)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_a_data_source_is_understood_or_told_in_one_sentence(case: Case, tmp_path: Path) -> None:
    if not can_be_tried(case):
        pytest.skip(f"needs {case.needs}")
    reading = read(case, tmp_path)
    assert not reading.is_silently_wrong, (reading.faults, reading.text)
    if case.name in NOT_YET:
        assert reading.faults, "it is right now: take it out of NOT_YET"
    else:
        assert not reading.faults, (reading.faults, reading.text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.name))
def test_a_case_is_in_the_table_with_its_mark(case: Case) -> None:
    rows = TABLE.read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| {case.name} |")]
    assert row.endswith("| yes |") == case.was_silently_wrong
